// Keeps a page up to date: fetches it again and swaps the parts that have an id and `data-live`, where they differ.
// Without JavaScript the page is what it was when it was loaded.
let timer = null;
let waiting = null;
let failed = 0;

export async function refresh() {
  if (waiting) return waiting;
  waiting = load().finally(() => { waiting = null; });
  return waiting;
}

async function load() {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-cache" });
    if (!answer.ok) throw new Error(answer.statusText);
  } catch {
    failed += 1;
    if (failed > 1) say("Waiting for the server …");
    return;
  }
  failed = 0;
  say("");
  if (answer.redirected && new URL(answer.url).pathname !== location.pathname) {
    location.assign(answer.url); // the session has ended
    return;
  }
  swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

function swap(fresh) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const other = fresh.getElementById(part.id);
    if (!other || other.innerHTML === part.innerHTML) continue;
    if (part.querySelector("details[open]")) continue; // someone reads it
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    if (focused && !focused.id) continue; // nothing is taken from under someone's fingers
    part.replaceWith(other);
    if (focused) document.getElementById(focused.id)?.focus();
  }
  if (fresh.title) document.title = fresh.title;
  often(fresh.body.dataset.refresh);
  document.dispatchEvent(new CustomEvent("refreshed"));
}

function say(words) {
  let place = document.getElementById("offline");
  if (!place && words) {
    place = document.createElement("p");
    place.id = "offline";
    place.className = "offline";
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  if (place) {
    place.textContent = words;
    place.hidden = !words;
  }
}

// as often as the page says, which stops once nothing of it can change any more
function often(seconds) {
  if (document.body.dataset.refresh === seconds && timer) return;
  document.body.dataset.refresh = seconds || "0";
  clearInterval(timer);
  timer = Number(seconds) ? setInterval(() => { if (!document.hidden) refresh(); }, seconds * 1000) : null;
}

often(document.body.dataset.refresh);
document.addEventListener("visibilitychange", () => { if (!document.hidden && timer) refresh(); });
