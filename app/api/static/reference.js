// A file of its own: the page's Content-Security-Policy allows no script in it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else it would show the document to validator.swagger.io
});
