// Tries a student on a picture: a file, one that is pasted or dropped, or the camera's.
import { call } from "./page.js";

const PATIENCE_SECONDS = 120;
const PAUSE_SECONDS = 2;

// A preview's ONNX file is made when somebody asks for it, and is there some seconds later.
export async function patiently(ask, say) {
  const until = Date.now() + 1000 * PATIENCE_SECONDS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isMade = error.code === "preview_not_ready" && document.querySelector("#progress .state.running");
      if (!isMade || Date.now() > until) throw error;
      say(`${error.detail} …`);
      await new Promise((done) => setTimeout(done, 1000 * PAUSE_SECONDS));
    }
  }
}

const box = document.getElementById("try");
const seen = document.getElementById("try-seen");
const answer = document.getElementById("try-answer");
let asked = 0;

async function ask(picture) {
  const mine = ++asked;
  const student = document.getElementById("try-student")?.value || box.dataset.student;
  const url = new URL(box.dataset.predict, location.href);
  if (student) url.searchParams.set("student", student);
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  URL.revokeObjectURL(seen.src);
  seen.src = URL.createObjectURL(picture);
  seen.hidden = false;
  answer.textContent = "…";
  try {
    const made = await patiently(() => call(url, { method: "POST", body: picture, headers }), (told) => { if (mine === asked) answer.textContent = told; });
    if (mine === asked) show(made);
  } catch (error) {
    if (mine === asked) answer.textContent = error.message;
  }
}

function show(made) {
  const list = document.createElement("div");
  list.className = "guess";
  for (const { class: name, probability } of made.predictions) {
    const words = document.createElement("b");
    words.textContent = name;
    const share = document.createElement("span");
    share.className = "num";
    share.textContent = percent(probability);
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute("aria-label", `probability of ${name}`);
    list.append(words, share, bar);
  }
  const note = document.createElement("p");
  note.className = "hint";
  note.textContent = `${made.preview ? `${moment(made.preview)}, ` : ""}${made.file}, ${made.latency_ms.toFixed(1)} ms for the network on one thread`;
  answer.replaceChildren(list, note);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const moment = ({ student, step, steps, val_accuracy }) => `${student} at step ${step.toLocaleString("en")} of ${steps.toLocaleString("en")}${val_accuracy === null ? "" : `, ${percent(val_accuracy)} on the validation images`}`;

function camera() {
  const open = document.getElementById("try-camera");
  const video = document.getElementById("try-video");
  const shoot = document.getElementById("try-shoot");
  if (!navigator.mediaDevices?.getUserMedia) return;
  open.hidden = false;

  function close() {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    video.hidden = shoot.hidden = true;
    open.disabled = false;
  }

  open.addEventListener("click", async () => {
    open.disabled = true; // a second camera opened meanwhile would never be closed
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.hidden = false;
      await video.play(); // until its first picture a video has no size, and a picture of it would be empty
    } catch (error) {
      close();
      answer.textContent = `The camera cannot be used: ${error.message}`;
      return;
    }
    shoot.hidden = false;
    shoot.focus();
  });
  shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob(ask, "image/jpeg", 0.92);
    close();
    open.focus();
  });
}

if (box) {
  document.getElementById("try-file").addEventListener("change", (event) => event.target.files[0] && ask(event.target.files[0]));
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => { const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/")); if (file) ask(file); });
  camera();
}
