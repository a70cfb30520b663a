// A job's page: follows the job's event stream, draws its curves, tries its student.
import { refresh } from "./live.js";
import { call } from "./page.js";
import { Curves } from "./curves.js";

const section = document.getElementById("curves");
const curves = new Curves(section, document.getElementById("charts"), document.getElementById("curves-none"));
let state = null;

function follow() {
  // the browser connects again by itself, with Last-Event-ID, also through a restart of the server
  const stream = new EventSource(section.dataset.events);
  stream.addEventListener("metrics", (event) => curves.add(JSON.parse(event.data).points));
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
      words.textContent = `${Math.round(100 * now.progress)} %${left}`;
    }
    if (state !== null && state !== now.state + now.stage) soon();
    state = now.state + now.stage;
  });
  stream.addEventListener("end", () => {
    stream.close();
    if (section.dataset.ended === "0") location.reload(); // everything about the result is new
  });
}

let timer = null;
function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 300);
}

function duration(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Try it

const box = document.getElementById("try");
if (box) {
  const seen = document.getElementById("try-seen");
  const answer = document.getElementById("try-answer");
  const ask = async (picture) => {
    seen.src = URL.createObjectURL(picture);
    seen.hidden = false;
    answer.textContent = "…";
    try {
      const type = picture.type || "application/octet-stream";
      show(await call(box.dataset.predict, { method: "POST", body: picture, headers: { "Content-Type": type } }));
    } catch (error) {
      answer.textContent = error.message;
    }
  };
  const show = (made) => {
    const list = document.createElement("div");
    list.className = "guess";
    for (const { class: name, probability } of made.predictions) {
      const words = document.createElement("b");
      words.textContent = name;
      const share = document.createElement("span");
      share.className = "num";
      share.textContent = `${(100 * probability).toFixed(1)} %`;
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = probability;
      bar.setAttribute("aria-label", `probability of ${name}`);
      list.append(words, share, bar);
    }
    const note = document.createElement("p");
    note.className = "hint";
    note.textContent = `${made.file}, ${made.latency_ms.toFixed(1)} ms for the network on one thread`;
    answer.replaceChildren(list, note);
  };
  document.getElementById("try-file").addEventListener("change", (event) => event.target.files[0] && ask(event.target.files[0]));
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => { const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/")); if (file) ask(file); });
  camera(ask);
}

function camera(ask) {
  const open = document.getElementById("try-camera");
  const video = document.getElementById("try-video");
  const shoot = document.getElementById("try-shoot");
  if (!navigator.mediaDevices?.getUserMedia) return;
  open.hidden = false;
  open.addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      document.getElementById("try-answer").textContent = `The camera cannot be used: ${error.message}`;
      return;
    }
    video.hidden = shoot.hidden = false;
    await video.play();
    shoot.focus();
  });
  shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob(ask, "image/jpeg", 0.92);
    for (const track of video.srcObject.getTracks()) track.stop();
    video.hidden = shoot.hidden = true;
  });
}

addEventListener("DOMContentLoaded", follow);
