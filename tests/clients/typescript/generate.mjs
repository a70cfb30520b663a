// node generate.mjs DOCUMENT TARGET: the types of the document, with bytes as Blob, as openapi-typescript's guide has it.
// What has a default may be left out of a request; answers say by themselves that they have it.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const [source, target] = process.argv.slice(2);
const blob = ts.factory.createTypeReferenceNode(ts.factory.createIdentifier("Blob"));
const ast = await openapiTS(JSON.parse(await readFile(source, "utf8")), {
  defaultNonNullable: false,
  transform: (schema) => (schema.format === "binary" ? blob : undefined),
});
await writeFile(target, astToString(ast));
