"use strict";

// Everything that comes from captions, ids and paths is put into the page as text, never as HTML.

const at = (id) => document.getElementById(id);
const PAGE_SIZE = 24, MOST = 200;
const state = { q: "", like: "", not: "", only: "", weights: null, cutoff: "auto", open: "", top: PAGE_SIZE };
let about = null;
let answer = null;
let asking = null;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function moment(hit) {
  return hit.duration_s !== null && hit.duration_s < 60 ? `${hit.moment_s.toFixed(1)} s` : clock(hit.moment_s);
}

function debounced(action, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(action, milliseconds); };
}

// --- the server

class Refused extends Error {}

async function get(path, parameters = {}, signal) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const response = await fetch(`${path}?${new URLSearchParams(given)}`, { signal });
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text;
  try { message = JSON.parse(text).error || text; } catch { /* plain text */ }
  if (response.status === 503) message = "The server is busy; try again in a moment.";
  throw new Refused(message);
}

function alertWith(message) {
  at("alert").hidden = !message;
  at("alert").textContent = message || "";
}

let waiting = null;
function explain(error) {
  if (error.name === "AbortError") return;
  if (error instanceof Refused) { alertWith(error.message); return; }
  alertWith("The server does not answer: it was stopped, or it is starting. " +
            "Run camoe-search --serve again; this page goes on by itself.");
  if (waiting) return;
  waiting = setInterval(async () => {
    try { about = await get("api/about"); } catch { return; }
    clearInterval(waiting);
    waiting = null;
    alertWith("");
    begin();
  }, 2000);
}

function question() {
  return { q: state.like ? "" : state.q, like: state.like, not: state.not, weights: state.weights && written(state.weights) };
}

function written(weights) {
  return Object.entries(weights).map(([name, value]) => `${name}:${value}`).join(",");
}

async function search() {
  if (!about || !about.videos) return;
  if (asking) asking.abort();
  asking = new AbortController();
  if (!state.q && !state.like) { answer = null; show(); return; }
  try {
    const parameters = { ...question(), cutoff: state.cutoff, only: state.only, top: state.top };
    answer = await get("api/search", parameters, asking.signal);
    show();
  } catch (error) { explain(error); }
}

// --- what is in the address bar

function remember(push) {
  const short = { q: state.q, like: state.like, not: state.not, only: state.only, open: state.open };
  if (state.weights) short.weights = written(state.weights);
  if (state.cutoff !== "auto") short.cutoff = state.cutoff;
  const given = Object.entries(short).filter(([, value]) => value);
  const address = given.length ? `?${new URLSearchParams(given)}` : location.pathname;
  if (push) history.pushState(null, "", address); else history.replaceState(null, "", address);
  document.title = state.q || (state.like ? `like ${state.like}` : "Search");
}

function recall() {
  const given = new URLSearchParams(location.search);
  for (const name of ["q", "like", "not", "only", "open"]) state[name] = given.get(name) || "";
  state.cutoff = given.get("cutoff") || "auto";
  state.top = PAGE_SIZE;
  state.weights = null;
  if (given.get("weights")) {
    const pairs = given.get("weights").split(",").map((pair) => pair.split(":"));
    state.weights = Object.fromEntries(pairs.map(([name, value]) => [name, Number(value) || 0]));
  }
  at("q").value = state.q;
  at("not").value = state.not;
  at("only").value = state.only;
}

// --- results

function show() {
  const hits = answer ? answer.hits : [];
  at("results").replaceChildren(...hits.map(tile));
  at("status").textContent = summary();
  at("toggle").hidden = !answer;
  const isWhole = !answer || answer.found <= hits.length || state.top >= MOST;
  const isCut = answer && answer.cutoff !== null && answer.found < answer.searched;
  at("more").hidden = isWhole && !isCut;
  at("more").textContent = isWhole ? "Show those below the cut-off" : "Show more";
  at("like").hidden = !state.like;
  at("like-id").textContent = state.like;
  if (answer) showControls();
  if (!waiting) alertWith((answer || about).notes.map(sentence).join(" "));
}

function summary() {
  if (!about.videos) return "";
  if (!answer) return `${about.videos.toLocaleString("en")} videos to search`;
  const all = answer.searched.toLocaleString("en"), found = answer.found.toLocaleString("en");
  const among = state.only ? `${all} videos with “${state.only}”` : `${all} videos`;
  if (!answer.searched) return `No id contains “${state.only}”.`;
  if (answer.cutoff === null) return `${among}, the nearest first`;
  if (!answer.found) return `None of ${among} reaches the cut-off of ${answer.cutoff.toFixed(1)}; the best has ` +
                            `${answer.range[1].toFixed(1)}. You can lower it under “Adjust”.`;
  return `${found} of ${among} above the cut-off`;
}

function tile(hit, place) {
  const isWeak = answer.calibrated !== null && hit.score < answer.calibrated;
  const item = make("li"), button = make("button", isWeak ? "tile weak" : "tile");
  button.type = "button";
  button.dataset.place = place;
  button.title = hit.id;
  const frame = make("span", "frame", about.folder_known ? "" : "no picture");
  if (about.folder_known) {
    const picture = make("img");
    picture.alt = "";
    picture.loading = "lazy";
    picture.addEventListener("error", () => { picture.remove(); frame.prepend("no picture: file missing or changed"); });
    picture.src = `api/still?${new URLSearchParams({ id: hit.id, t: hit.moment_s || 0 })}`;
    frame.append(picture);
  }
  if (hit.moment_s !== null) frame.append(make("span", "time", moment(hit)));
  const bar = make("span", "bar"), filled = make("i");
  filled.style.width = `${Math.round(100 * share(hit.score))}%`;
  bar.append(filled);
  const caption = make("span", "caption");
  caption.append(make("span", "id", hit.id), make("span", "score", hit.score.toFixed(1)));
  button.append(frame, bar, caption);
  button.addEventListener("click", () => open(hit.id, true));
  item.append(button);
  return item;
}

function share(score) {
  const [low, high] = answer.range;
  return high > low ? Math.max(0.02, (score - low) / (high - low)) : 1;
}

// --- streams, cut-off

const STREAM_STEPS = 100;

function buildStreams() {
  at("streams").replaceChildren(...about.streams.flatMap((name) => {
    const label = make("label", "", name), slider = make("input"), output = make("output"), words = make("span", "words");
    slider.type = "range";
    slider.min = 0;
    slider.max = STREAM_STEPS;
    slider.id = label.htmlFor = `stream-${name}`;
    slider.dataset.stream = name;
    words.dataset.stream = name;
    slider.addEventListener("input", () => {
      const all = [...document.querySelectorAll("#streams input")];
      if (all.every((each) => each.value === "0")) slider.value = 1;
      state.weights = Object.fromEntries(all.map((each) => [each.dataset.stream, Number(each.value) / STREAM_STEPS]));
      again();
    });
    return [label, slider, output, words];
  }));
}

const again = debounced(() => { remember(false); search(); }, 60);

function showControls() {
  for (const slider of document.querySelectorAll("#streams input")) {
    const name = slider.dataset.stream, share = answer.weights[name];
    if (document.activeElement !== slider) slider.value = STREAM_STEPS * (state.weights ? state.weights[name] || 0 : share);
    slider.nextElementSibling.textContent = `${Math.round(100 * share)}%`;
    const reading = answer.readings.find((each) => each.stream === name);
    slider.nextElementSibling.nextElementSibling.replaceChildren(...(reading ? words(reading) : []));
  }
  const slider = at("cutoff");
  if (answer.range) {
    slider.min = Math.floor(answer.range[0]);
    slider.max = Math.ceil(answer.range[1]) + 1;
  }
  const isSet = answer.cutoff !== null;
  if (document.activeElement !== slider) slider.value = isSet ? answer.cutoff : slider.min;
  at("cutoff-value").textContent = isSet ? answer.cutoff.toFixed(1) : "none";
  at("cutoff-auto").hidden = state.cutoff === "auto";
  const calibrated = answer.calibrated === null ? "There is no cut-off for searches by a video."
    : `Calibrated at ${answer.calibrated.toFixed(1)} on ${answer.basis}.`;
  at("basis").textContent = calibrated + (about.candidates
    ? ` The ${about.candidates} videos nearest by plain CLIP are ranked by the model.` : "");
}

function words(reading) {
  const shown = reading.words.flatMap((word) => [make("span", word.kept ? "" : "left-out", word.text), " "]);
  return reading.fell_back ? [...shown, make("span", "note", "(no such word: read whole)")] : shown;
}

function toggle(open) {
  at("controls").hidden = !open;
  at("toggle").setAttribute("aria-expanded", String(open));
  at("toggle").textContent = open ? "Hide" : "Adjust";
}

// --- the player

const video = at("video");
let offset = 0;      // seconds of the file at which what is played begins
let shownFrames = null;

async function open(id, push) {
  state.open = id;
  remember(push);
  const hit = answer && answer.hits.find((each) => each.id === id);
  const moment = hit && hit.moment_s !== null ? hit.moment_s : 0;
  at("player-id").textContent = id;
  at("timeline").replaceChildren();
  at("axis-end").textContent = "";
  at("captions").replaceChildren();
  at("captions-title").hidden = true;
  showScores(hit);
  showNeighbours();
  if (!at("player").open) at("player").showModal();
  note("");
  await Promise.all([load(id, moment), showTimeline(id), showCaptions(id)]);
}

async function load(id, moment) {
  video.hidden = false;
  try {
    const { direct } = await get("api/playable", { id });
    if (state.open !== id) return;
    if (direct) playFile(id, moment); else playPreview(id, moment);
  } catch (error) {
    if (state.open !== id) return;
    video.removeAttribute("src");
    video.hidden = true;
    if (error instanceof Refused) note(`This video cannot be shown: ${error.message}.`); else explain(error);
  }
}

function playFile(id, moment) {
  offset = 0;
  video.dataset.moment = moment;
  video.onerror = () => playPreview(id, moment);
  video.src = `api/video?${new URLSearchParams({ id })}`;
  video.onloadedmetadata = () => {
    if (!video.videoWidth) { playPreview(id, moment); return; }
    video.currentTime = moment;
    video.play().catch(() => {});
  };
}

function playPreview(id, moment) {
  offset = moment;
  video.dataset.moment = moment;
  note("Your browser does not play this kind of file, so it is converted while it plays.");
  video.onloadedmetadata = () => video.play().catch(() => {});
  video.onerror = () => { if (state.open === id) note("This video could not be converted; it may be damaged, or the server is busy with others."); };
  video.src = `api/preview?${new URLSearchParams({ id, start: moment })}`;
}

function seek(seconds) {
  if (video.src.includes("api/preview")) playPreview(state.open, seconds); else video.currentTime = seconds;
}

function note(text) {
  at("video-note").hidden = !text;
  at("video-note").textContent = text;
}

function showScores(hit) {
  const pairs = hit ? [["rank", hit.rank], ["score", hit.score.toFixed(2)],
    ...Object.entries(hit.streams).map(([name, value]) => [name, value === null ? "–" : value.toFixed(2)])] : [];
  at("scores").replaceChildren(...pairs.map(([name, value]) => {
    const pair = make("div");
    pair.append(make("dt", "", name), make("dd", "", value));
    return pair;
  }));
}

function neighbours() {
  const hits = answer ? answer.hits : [], place = hits.findIndex((hit) => hit.id === state.open);
  return place < 0 ? [null, null] : [hits[place - 1], hits[place + 1]];
}

function showNeighbours() {
  const [before, after] = neighbours();
  at("player-previous").disabled = !before;
  at("player-next").disabled = !after;
}

async function showTimeline(id) {
  let found;
  try { found = await get("api/frames", { id, ...question() }); } catch { return; }
  if (state.open !== id || !found.frames.length) return;
  const scores = found.frames.map((frame) => frame.score), low = Math.min(...scores), high = Math.max(...scores);
  shownFrames = found;
  at("timeline").replaceChildren(...found.frames.map((frame) => {
    const button = make("button"), bar = make("i");
    button.type = "button";
    button.className = frame.score === high ? "best" : "";
    button.title = `${frame.time_s === null ? "" : clock(frame.time_s) + " · "}${frame.score.toFixed(1)}`;
    button.setAttribute("aria-label", button.title);
    bar.style.height = `${high > low ? 8 + 92 * (frame.score - low) / (high - low) : 100}%`;
    button.append(bar);
    if (frame.time_s === null) button.disabled = true;
    else button.addEventListener("click", () => seek(frame.time_s));
    return button;
  }), make("span", "head"));
  at("axis-start").textContent = clock(found.frames[0].time_s || 0);
  const last = found.frames[found.frames.length - 1].time_s;
  at("axis-end").textContent = last === null ? "" : clock(last);
  moveHead();
}

function moveHead() {
  const head = document.querySelector("#timeline .head");
  if (!head || !shownFrames) return;
  const times = shownFrames.frames.map((frame) => frame.time_s), now = offset + video.currentTime;
  let place = times.findIndex((time) => time !== null && time > now + 0.001);
  if (place < 0) place = times.length;
  const from = times[place - 1], to = times[place];
  const inside = from !== undefined && to !== undefined ? (now - from) / (to - from) : 0;
  head.style.left = `${100 * Math.min(1, Math.max(0, (place - 1 + inside + 0.5) / times.length))}%`;
}

async function showCaptions(id) {
  if (!about.captions) return;
  let found;
  try { found = await get("api/captions", { id }); } catch { return; }
  if (state.open !== id) return;
  at("captions-title").hidden = !found.length;
  at("captions").replaceChildren(...found.slice(0, 3).map((hit) => make("li", "", hit.text)));
}

function close() {
  if (at("player").open) at("player").close();
}

at("player").addEventListener("close", () => {
  const place = answer ? answer.hits.findIndex((hit) => hit.id === state.open) : -1;
  state.open = "";
  shownFrames = null;
  video.onerror = null;
  video.removeAttribute("src");
  video.load();
  remember(false);
  focusTile(place);
});

// --- what the user does

function focusTile(place) {
  const tiles = document.querySelectorAll(".tile");
  if (tiles[place]) tiles[place].focus();
}

function columns() {
  return getComputedStyle(at("results")).gridTemplateColumns.split(" ").length;
}

function ask(changes, push) {
  Object.assign(state, { top: PAGE_SIZE }, changes);
  at("q").value = state.q;
  remember(push);
  return search();
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ q: at("q").value.trim(), like: "", cutoff: "auto" }, true);
});
at("not").addEventListener("input", debounced(() => ask({ not: at("not").value.trim() }), 300));
at("only").addEventListener("input", debounced(() => ask({ only: at("only").value.trim() }), 150));
at("cutoff").addEventListener("input", () => { state.cutoff = at("cutoff").value; again(); });
at("cutoff-auto").addEventListener("click", () => ask({ cutoff: "auto" }));
at("toggle").addEventListener("click", () => toggle(at("controls").hidden));
at("more").addEventListener("click", () => {
  if (answer.found > answer.hits.length) { state.top = Math.min(MOST, state.top + PAGE_SIZE); search(); }
  else ask({ cutoff: "none", top: state.top });
});
at("like-clear").addEventListener("click", () => ask({ like: "" }, true));
at("player-close").addEventListener("click", close);
at("player-like").addEventListener("click", () => { const like = state.open; close(); ask({ q: "", like, cutoff: "auto" }, true); });
at("player-previous").addEventListener("click", () => { const hit = neighbours()[0]; if (hit) open(hit.id, false); });
at("player-next").addEventListener("click", () => { const hit = neighbours()[1]; if (hit) open(hit.id, false); });
at("player").addEventListener("click", (event) => { if (event.target === at("player")) close(); });
video.addEventListener("timeupdate", moveHead);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input");
  if (at("player").open) {
    if (event.key === "ArrowLeft" && event.target !== video) at("player-previous").click();
    if (event.key === "ArrowRight" && event.target !== video) at("player-next").click();
    return;
  }
  if (event.key === "/" && !typing) { event.preventDefault(); at("q").focus(); at("q").select(); return; }
  const place = event.target.dataset.place;
  if (event.target === at("q") && event.key === "ArrowDown") { event.preventDefault(); focusTile(0); }
  if (place === undefined) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
  if (!step) return;
  event.preventDefault();
  if (Number(place) + step < 0) at("q").focus(); else focusTile(Number(place) + step);
});

window.addEventListener("popstate", () => { recall(); begin(); });

async function begin() {
  await search();
  if (state.open) open(state.open, false); else close();
}

async function start() {
  recall();
  try { about = await get("api/about"); } catch (error) { explain(error); return; }
  if (!about.videos) { alertWith(`There is nothing to search yet: ${about.message}`); return; }
  at("about").textContent = `${about.videos.toLocaleString("en")} videos · ${about.model} · CLIP ${about.clip}`;
  buildStreams();
  show();
  toggle(Boolean(state.weights || state.not || state.only || state.cutoff !== "auto"));
  begin();
}

start();
