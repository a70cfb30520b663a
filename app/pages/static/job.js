// A job's page: follows the job's event stream, draws its curves, has previews made.
import { refresh } from "./live.js";
import { call } from "./page.js";
import { Curves } from "./curves.js";
import { patiently } from "./try_it.js";

const section = document.getElementById("curves");
const curves = new Curves(section, document.getElementById("charts"), document.getElementById("curves-none"));
let state = null;

function follow() {
  // the browser connects again by itself, with Last-Event-ID, also through a restart of the server
  const stream = new EventSource(section.dataset.events);
  stream.addEventListener("metrics", (event) => {
    const { points } = JSON.parse(event.data);
    curves.add(points);
    if (section.dataset.ended === "0" && points.some(({ values }) => Object.keys(values).some((name) => /(val_accuracy|teacher_agreement)$/.test(name)))) soon(300 + 4000 * Math.random()); // not all open pages at once
  });
  stream.addEventListener("event", (event) => {
    const told = JSON.parse(event.data);
    if (told.code === "labels_lead") curves.lead(told.message);
    if (section.dataset.ended === "0") soon();
  });
  stream.addEventListener("progress", (event) => {
    const now = JSON.parse(event.data);
    const bar = document.getElementById("bar");
    if (bar) bar.value = now.progress;
    const words = document.getElementById("now");
    if (words && now.state === "running") {
      const left = now.eta_seconds === null ? "" : ` · about ${duration(now.eta_seconds)} left`;
      words.textContent = (now.stage ? `${Math.round(100 * now.progress)} %` : "starting") + left;
    }
    if (state !== null && state !== now.state + now.stage) soon();
    state = now.state + now.stage;
  });
  stream.addEventListener("end", () => {
    stream.close();
    document.getElementById("curves-none").hidden = curves.points.size > 0;
    if (section.dataset.ended === "0") location.reload(); // everything about the result is new
  });
}

let timer = null;
function soon(milliseconds = 300) {
  clearTimeout(timer);
  timer = setTimeout(refresh, milliseconds);
}

function duration(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// the student of the moment: there is one from its first validation on
document.addEventListener("refreshed", () => {
  const preview = document.getElementById("preview");
  if (preview) preview.hidden = !document.querySelector("#previews li");
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-preview]");
  if (!link || link.dataset.made) return;
  event.preventDefault();
  const words = document.getElementById("preview-words"); // the link's own part may be swapped meanwhile
  try {
    await patiently(() => call(link.href, { headers: { Range: "bytes=0-0" } }), (told) => { words.textContent = told; });
    words.textContent = "";
    link.dataset.made = "yes";
    link.click();
  } catch (error) {
    words.textContent = error.message;
  }
});

addEventListener("DOMContentLoaded", follow);
