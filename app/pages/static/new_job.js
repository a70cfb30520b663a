// The form of a new job: filters long lists, hides what the method does not read, says the job as a program would.
import { call } from "./page.js";

const form = document.getElementById("job");
const GROUPS = ["views", "reprogram", "distill", "export"];
let language = "curl";

function spec() {
  const data = new FormData(form);
  const text = (name) => String(data.get(name) || "").trim();
  const names = (...texts) => [...new Set(texts.flatMap((each) => each.split(",")).map((name) => name.trim()).filter(Boolean))];
  const students = names(...data.getAll("students"), text("student_names"));
  const teachers = names(text("teacher_name") || text("teacher"), text("more_teachers"));
  const made = { dataset_id: text("dataset_id") };
  if (teachers.length === 1) made.teacher = teachers[0];
  else if (teachers.length) made.teachers = teachers;
  if (students.length === 1) made.student = students[0];
  else if (students.length) made.students = students;
  if (text("method") !== "tdmr") made.method = text("method");
  for (const name of ["image_size", "seed", "priority"]) if (text(name)) made[name] = Number(text(name));
  if (text("pretrained") !== "auto") made.pretrained = text("pretrained") === "true";
  if (text("balance") !== "none") made.balance = text("balance");
  const limits = { max_latency_ms: text("max_latency_ms") && Number(text("max_latency_ms")), max_bytes: text("max_megabytes") && Math.round(1e6 * Number(text("max_megabytes"))), min_accuracy: text("min_accuracy") && Number(text("min_accuracy")) / 100 };
  const constraints = Object.fromEntries(Object.entries(limits).filter(([, value]) => value));
  if (Object.keys(constraints).length) made.constraints = constraints;
  for (const field of form.elements) {
    const [group, name] = (field.name || "").split(".");
    if (!name || !GROUPS.includes(group) || !field.value) continue;
    const value = field.tagName === "INPUT" ? Number(field.value) : { true: true, false: false }[field.value] ?? field.value;
    (made[group] ||= {})[name] = value;
  }
  const formats = data.getAll("formats");
  const usual = [...form.querySelectorAll("[name=formats]")].filter((box) => box.defaultChecked).map((box) => box.value);
  if (String(formats) !== String(usual)) (made.export ||= {}).formats = formats;
  if (text("label")) made.metadata = { name: text("label") };
  return made;
}

const json = (value, depth) => JSON.stringify(value, null, depth);
const python = (value) => json(value, 4).replace(/\btrue\b/g, "True").replace(/\bfalse\b/g, "False").replace(/\bnull\b/g, "None");
function yaml(value, indent = "") {
  return Object.entries(value).map(([key, each]) => {
    if (Array.isArray(each)) return `${indent}${key}: ${json(each)}`;
    if (each && typeof each === "object") return `${indent}${key}:\n${yaml(each, `${indent}  `)}`;
    return `${indent}${key}: ${typeof each === "string" ? json(each) : each}`;
  }).join("\n");
}

function say() {
  const made = spec();
  const url = `${location.origin}/v1/jobs`;
  const key = document.querySelector('meta[name="csrf"]') !== null;
  const texts = {
    curl: `curl ${url} \\\n${key ? '  -H "Authorization: Bearer $TDMR_KEY" \\\n' : ""}  -H 'Content-Type: application/json' \\\n  -d '${json(made, 2).replaceAll("'", "'\\''")}'`,
    python: `import httpx\n\njob = httpx.post(\n    "${url}",\n${key ? '    headers={"Authorization": f"Bearer {key}"},\n' : ""}    json=${python(made).replaceAll("\n", "\n    ")},\n).raise_for_status().json()\nprint(job["id"])`,
    yaml: yaml(made),
  };
  document.getElementById("code").textContent = texts[language];
}

function fit() {
  const method = form.elements.method.value;
  const chosen = form.elements.method.selectedOptions[0];
  document.getElementById("method-says").textContent = chosen.title;
  for (const field of form.querySelectorAll("[data-methods]")) field.hidden = !field.dataset.methods.split(" ").includes(method);
}

// what the job will take, where the service can say so
let asked = 0;
let known = true;
async function estimate() {
  if (!known) return;
  const mine = ++asked;
  const place = document.getElementById("estimate");
  try {
    const found = await call("/v1/jobs/estimate", { method: "POST", headers: { "Content-Type": "application/json" }, body: json(spec()) });
    if (mine === asked) place.replaceChildren(...told(found));
  } catch (error) {
    if (mine !== asked) return;
    if (/No route|not supported/.test(error.message)) { known = false; place.replaceChildren(); } else place.replaceChildren(paragraph(error.message, "notice"));
  }
}

function told(found) {
  const parts = [];
  if (found.seconds) {
    parts.push(paragraph(`About ${duration(found.seconds.expected)}`, "lead"));
    parts.push(paragraph(`${duration(found.seconds.low)} to ${duration(found.seconds.high)} on ${found.machines.join(" or ")}${found.measured ? "" : ", in part interpolated"}`, "hint"));
    const stages = Object.entries(found.stages).filter(([, each]) => each);
    parts.push(pairs(stages.map(([stage, each]) => [stage, duration(each.expected)])));
  } else parts.push(paragraph(`How long it will take cannot be told yet: ${found.unknown.seconds || "nothing was measured"}.`, "hint"));
  if (found.memory_bytes) parts.push(paragraph(`${(found.memory_bytes.expected / 1e9).toFixed(1)} GB of memory at its peak.`, "hint"));
  if (found.estimated_start) parts.push(paragraph(`A worker would take it at about ${new Date(found.estimated_start).toLocaleTimeString()}.`, "hint"));
  for (const { detail } of found.limits) parts.push(paragraph(detail, "notice"));
  for (const warning of found.warnings) parts.push(paragraph(warning, "notice"));
  return parts;
}

function pairs(entries) {
  const list = document.createElement("dl");
  list.className = "pairs small";
  for (const [name, value] of entries) {
    const term = document.createElement("dt");
    const definition = document.createElement("dd");
    term.textContent = name;
    definition.textContent = value;
    list.append(term, definition);
  }
  return list;
}

function paragraph(words, kind) {
  const made = document.createElement("p");
  made.className = kind;
  made.textContent = words;
  return made;
}

const duration = (seconds) => (seconds < 100 ? `${Math.round(seconds)} s` : seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

if (form) {
  document.getElementById("as").hidden = false;
  let timer = null;
  const changed = () => {
    fit();
    say();
    clearTimeout(timer);
    timer = setTimeout(estimate, 500);
  };
  form.addEventListener("input", changed);
  changed();
  for (const button of form.querySelectorAll("[data-as]")) {
    button.addEventListener("click", () => {
      language = button.dataset.as;
      for (const each of form.querySelectorAll("[data-as]")) each.setAttribute("aria-pressed", String(each === button));
      say();
    });
  }
  for (const search of form.querySelectorAll("[data-filter]")) {
    search.addEventListener("input", (event) => {
      event.stopPropagation();
      const wanted = search.value.trim().toLowerCase().split(/\s+/);
      for (const label of document.getElementById(search.dataset.filter).children) {
        const text = label.textContent.toLowerCase();
        label.hidden = !label.querySelector("input").checked && !wanted.every((word) => text.includes(word));
      }
    });
    search.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  }
}
