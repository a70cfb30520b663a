// On every page: forms that ask before they do something that cannot be undone, and tables that sort.
export const csrf = document.querySelector('meta[name="csrf"]')?.content || "";

export async function call(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  const answer = await fetch(path, { ...options, headers });
  const body = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) {
    const error = new Error([body?.detail, advice(body?.hint)].filter(Boolean).join(" ") || answer.statusText);
    throw Object.assign(error, { code: body?.code, detail: body?.detail });
  }
  return body;
}

// without what says where in the API something is found: the page has it
function advice(hint) {
  return hint?.split(/(?<=[.;]) /).filter((part) => !/(GET|POST|PUT|PATCH|DELETE) \/v1\//.test(part)).join(" ").replace(/;$/, ".");
}

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.sort");
  if (button) sort(button.closest("th"));
  const copy = event.target.closest("button[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent).then(() => {
      copy.textContent = "Copied";
    });
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
});

function sort(head) {
  const table = head.closest("table");
  const place = [...head.parentElement.children].indexOf(head);
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.children[place];
    const number = Number(cell.dataset.value);
    return cell.dataset.value !== undefined && !Number.isNaN(number) ? number : cell.textContent.trim();
  };
  const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true })));
  if (down) rows.reverse();
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

// on a phone the navigation scrolls sideways
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
