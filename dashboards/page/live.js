// Brings the tiles, each by itself, and refreshes them where they are.
import { draw, remove, sort } from "/static/page.js";

const market = document.getElementById("market");
const grid = document.querySelector(".grid");
const form = document.querySelector("form");
let timer;
const waiting = new Set();

// The text of an address; what is wrong with it is told in words of the server.
async function asked(address) {
  const reply = await fetch(address).catch(() => null);
  if (!reply) throw new Error("the server cannot be reached");
  const text = await reply.text();
  if (!reply.ok) throw new Error(text.trim());
  return text;
}

// What somebody is at work with is left as it is.
const isInUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");

async function show(tile) {
  const inside = tile.querySelector(".inside");
  if (waiting.has(tile) || isInUse(inside)) return;
  waiting.add(tile);
  try {
    const text = await asked(tile.dataset.src);
    // Meanwhile somebody may have begun.
    if (!isInUse(inside)) await put(inside, text);
    tellAges();
    tile.dataset.shown = Number(tile.dataset.shown ?? 0) + 1;
  } catch (error) {
    complain(tile, error.message);
    tile.dataset.failed = "yes";
  } finally {
    inside.ariaBusy = "false";
    waiting.delete(tile);
  }
}

// New content in the old one's place: scrolled and sorted as it was.
async function put(inside, text) {
  const before = inside.querySelector(".body");
  const [top, left] = [before?.scrollTop ?? 0, before?.scrollLeft ?? 0];
  const sorted = inside.querySelector("th[aria-sort]");
  const next = document.createElement("div");
  next.innerHTML = text;
  if (sorted) {
    const header = next.querySelectorAll("th")[sorted.cellIndex];
    if (header) sort(header, sorted.ariaSort === "ascending");
  }
  // A tile may not shrink meanwhile: what lies below it would move.
  inside.style.minHeight = `${inside.offsetHeight}px`;
  remove(inside);
  inside.append(...next.childNodes);
  await draw(inside);
  inside.style.minHeight = "";
  inside.querySelector(".body")?.scrollTo(left, top);
}

// What was there stays, marked as old; where nothing was, the words take its place.
function complain(tile, words) {
  if (tile.querySelector(".asked")) {
    lose(tile, words);
    return;
  }
  const told = document.createElement("p");
  told.className = "error";
  told.textContent = words;
  tile.querySelector(".inside").replaceChildren(told);
}

async function showMarket() {
  if (waiting.has(market)) return;
  waiting.add(market);
  const held = market.contains(document.activeElement) && document.activeElement.getAttribute("href");
  try {
    market.innerHTML = await asked("/market");
    const links = [...market.querySelectorAll("a")];
    links.find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
  } catch (error) {
    lose(market, error.message);
  } finally {
    waiting.delete(market);
  }
  tellAges();
}

// A page that nobody refreshes must not look as if it were of this moment. When something came is
// told by the clock of this machine alone, for that of the server may be another.
function tellAges() {
  for (const part of [market, ...grid.querySelectorAll("article")]) {
    const stamp = part.querySelector(".asked");
    if (!stamp) continue;
    stamp.dataset.came ??= Date.now();
    const old = Math.floor((Date.now() - stamp.dataset.came) / 60000);
    stamp.querySelector(".since").textContent = old > 0 ? `, ${old} min ago` : "";
    if (old > 1 && (part === market || "ofNow" in part.dataset)) lose(part);
  }
}

// What was told of a moment is no word about this one: calm least of all.
function lose(part, why) {
  const [stamp, time] = [part.querySelector(".asked"), part.querySelector("time")];
  stamp.classList.add("old");
  if (why && !stamp.querySelector(".why")) {
    const told = document.createElement("span");
    told.className = "why";
    told.textContent = `, not brought anew: ${why}`;
    stamp.append(told);
  }
  for (const book of part.querySelectorAll(".book:has(a)")) {
    const state = document.createElement("b");
    state.textContent = "not known";
    book.className = "book blind";
    book.replaceChildren(book.querySelector("a"), " ", state, ` since ${time.textContent}`);
  }
  const inside = part.querySelector(".inside");
  if (inside && !inside.querySelector(".error")) {
    const told = document.createElement("p");
    told.className = "error";
    told.textContent = `As it was at ${time.textContent}. How it is now is not known.`;
    inside.prepend(told);
  }
}

function showAll() {
  showMarket();
  grid.querySelectorAll("article").forEach(show);
}

document.addEventListener("pointed", (event) => {
  const at = event.detail / 1000;
  for (const link of event.target.closest("article").querySelectorAll(".zoom a")) {
    if (at >= link.dataset.first && at <= link.dataset.last) {
      location.assign(link.href);
      return;
    }
  }
});
// Esc closes what a tile has opened.
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && event.target.closest?.("details[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
// An address says what is chosen, and nothing else.
form.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
// And the form says what the address does, also where the browser remembers something else.
window.addEventListener("pageshow", () => {
  form.reset();
  const pace = form.elements.refresh;
  pace.value = new URL(location).searchParams.get("refresh") ?? "";
  // The address may hold a pace that there is not.
  if (pace.selectedIndex < 0) pace.selectedIndex = 0;
  keepPace();
});
// A pace takes effect at once: nothing of the page is another for it but where it leads.
form.elements.refresh.addEventListener("change", () => {
  history.replaceState(null, "", paced(location));
  for (const tile of grid.querySelectorAll("article")) tile.dataset.src = paced(tile.dataset.src);
  for (const link of grid.querySelectorAll(".zoom a")) link.href = paced(link.href);
  keepPace();
});

// An address with the pace that is chosen.
function paced(address) {
  const there = new URL(address, location);
  there.searchParams.delete("refresh");
  if (form.elements.refresh.value) there.searchParams.set("refresh", form.elements.refresh.value);
  return there.href;
}

function keepPace() {
  clearInterval(timer);
  const seconds = Number(form.elements.refresh.value);
  if (seconds) timer = setInterval(() => document.hidden || showAll(), seconds * 1000);
}

grid.querySelectorAll("article").forEach(show);
setInterval(tellAges, 10000);
tellAges();
// Who comes back sees this moment.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  tellAges();
  if (form.elements.refresh.value) showAll();
});
