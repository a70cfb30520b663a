// Uploads with tus: they go on after a broken line, and after a reload of the page.
import { call, csrf } from "./page.js";
import { refresh } from "./live.js";
import { forget, keep, kept } from "./kept_files.js";
import { archive } from "./tar.js";

const drop = document.getElementById("drop");
const list = document.getElementById("uploads");

class Upload {
  constructor(id, blob, name) {
    Object.assign(this, { id, blob, name });
    this.row = document.createElement("li");
    this.row.innerHTML = '<div class="row"><b></b><span class="soft num" role="status"></span><span class="actions"><button type="button">Pause</button><button type="button" class="danger">Discard</button></span></div><progress max="1" value="0"></progress>';
    this.row.querySelector("b").textContent = name;
    this.words = this.row.querySelector("[role=status]");
    this.bar = this.row.querySelector("progress");
    this.bar.setAttribute("aria-label", `upload of ${name}`);
    [this.pauseButton, this.discardButton] = this.row.querySelectorAll("button");
    this.pauseButton.addEventListener("click", () => (this.paused ? this.start() : this.pause()));
    this.discardButton.addEventListener("click", () => this.discard());
    list.append(this.row);
    this.upload = new window.tus.Upload(blob, {
      endpoint: drop.dataset.endpoint,
      retryDelays: [0, 1000, 3000, 5000, 10000, 20000, 30000, 30000, 30000, 60000, 60000],
      metadata: { filename: name },
      headers: csrf ? { "X-CSRF-Token": csrf } : {},
      fingerprint: async () => `tdmr ${id} ${blob.size}`,
      removeFingerprintOnSuccess: true,
      onProgress: (sent, all) => this.show(sent, all),
      onError: (error) => this.fail(error.message),
      onSuccess: () => this.create(),
    });
  }

  async start() {
    this.paused = false;
    this.pauseButton.textContent = "Pause";
    const [earlier] = await this.upload.findPreviousUploads();
    if (earlier) this.upload.resumeFromPreviousUpload(earlier);
    this.upload.start();
  }

  pause() {
    this.paused = true;
    this.pauseButton.textContent = "Go on";
    this.upload.abort();
  }

  async discard() {
    await this.upload.abort(true).catch(() => {});
    await forget(this.id);
    this.row.remove();
  }

  show(sent, all) {
    this.bar.value = all ? sent / all : 0;
    this.words.textContent = `${size(sent)} of ${size(all)}`;
  }

  fail(words) {
    this.words.textContent = words;
    this.paused = true;
    this.pauseButton.textContent = "Try again";
  }

  async create() {
    this.words.textContent = "Arrived; it is being stored …";
    try {
      const upload_id = this.upload.url.split("/").at(-1);
      const dataset = await call(drop.dataset.create, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ upload_id, name: this.name }),
      });
      await forget(this.id);
      this.row.remove();
      if (list.children.length) refresh();
      else location.assign(`/datasets/${dataset.id}`);
    } catch (error) {
      this.fail(error.message);
    }
  }
}

function size(bytes) {
  for (const [unit, each] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (bytes >= each) return `${(bytes / each).toFixed(1)} ${unit}`;
  return `${bytes} bytes`;
}

async function begin(blob, name, id) {
  if (blob.size > Number(drop.dataset.max)) {
    const row = document.createElement("li");
    row.textContent = `${name} has ${size(blob.size)}; this service takes ${size(Number(drop.dataset.max))}.`;
    list.append(row);
    return;
  }
  await keep(id, blob, name);
  await new Upload(id, blob, name).start();
}

const take = (file) => begin(file, file.name, `${file.name} ${file.size} ${file.lastModified}`);

async function takeFolder(files, name) {
  if (!files.length) return;
  const packed = archive(files);
  await begin(packed, `${name}.tar`, `${name}/ ${packed.size}`);
}

document.getElementById("archive").addEventListener("change", (event) => {
  for (const file of event.target.files) take(file);
  event.target.value = "";
});
document.getElementById("folder").addEventListener("change", (event) => {
  const files = [...event.target.files].map((file) => [file.webkitRelativePath, file]);
  takeFolder(files, files[0]?.[0].split("/")[0] || "folder");
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files];
  if (!entries.some((entry) => entry.isDirectory)) return files.forEach(take);
  for (const entry of entries) {
    if (entry.isDirectory) takeFolder(await walk(entry), entry.name);
    else entry.file(take);
  }
});

async function walk(entry) {
  if (entry.isFile) return [[entry.fullPath.slice(1), await new Promise((done, fail) => entry.file(done, fail))]];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a browser gives a hundred at a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const each of some) found.push(...(await walk(each)));
  }
}

for (const { id, blob, name } of await kept()) new Upload(id, blob, name).start();
