"use strict";
// The live page. Ids and titles come from strangers: they only ever become text nodes.
const $ = (id) => document.getElementById(id);
const make = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) key === "onclick" ? made.addEventListener("click", value) : made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const draw = (name, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const set = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const number = (value) => value == null ? "–" : value.toLocaleString("en", {maximumFractionDigits: value < 10 ? 1 : 0});
const when = (seconds) => seconds == null ? "" : new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
const title = (each) => each.title ?? each.item;

// --- asking the server -------------------------------------------------------------------------
const headers = () => sessionStorage.token ? {Authorization: `Bearer ${sessionStorage.token}`} : {};
async function ask(path, signal) {
  const answer = await fetch(path, {headers: headers(), signal});
  if (answer.status === 401 || answer.status === 403) { $("ask").hidden = false; throw new Error("A token of the role read is needed."); }
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `status ${answer.status}`);
  return answer;
}
// Server-sent events by fetch, since EventSource sends no token.
async function stream(path, take, signal, failed) {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 10000)) {
    try {
      const reader = (await ask(path, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
      for (let buffer = "";;) {
        const {value, done} = await reader.read();
        if (done) break;
        wait = 500;
        const parts = (buffer + value).split("\n\n");
        buffer = parts.pop();
        for (const part of parts) {
          const data = part.split("\n").find((line) => line.startsWith("data: "));
          if (data) take(part.startsWith("event: snapshot"), JSON.parse(data.slice(6)));
        }
      }
    } catch (error) { if (!signal.aborted) failed(error.message); }
    if (!signal.aborted) await new Promise((done) => setTimeout(done, wait));
  }
}

// --- charts --------------------------------------------------------------------------------------
// series: [{name, color, points: [[time, value, low, high], ...]}]; marks: times of dashed lines.
function chart(id, series, {format, floor = 0, marks = []}) {
  const place = $(id), width = place.clientWidth, height = width < 420 ? 190 : 230;
  if (!width) return;
  const left = 44, right = 8, top = 8, bottom = 22;
  const points = series.flatMap((each) => each.points);
  const svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img"});
  const said = series.map((each) => `${each.name} ${each.points.length ? format(each.points.at(-1)[1]) : "unknown"}`).join(", ");
  svg.append(draw("title", {}, said));
  if (points.length < 2) {
    svg.append(draw("text", {x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty"}, "No numbers yet"));
    place.replaceChildren(svg);
    return;
  }
  const first = Math.min(...points.map((p) => p[0])), last = Math.max(...points.map((p) => p[0]));
  const highest = Math.max(floor, ...points.map((p) => p[3] ?? p[1]));
  const lowest = Math.min(0, ...points.map((p) => p[2] ?? p[1]));
  const rough = (highest - lowest) / 4, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) || 1;
  const low = Math.floor(lowest / step) * step, high = Math.ceil(highest / step) * step || step;
  const x = (t) => left + (width - left - right) * (last > first ? (t - first) / (last - first) : 1);
  const y = (v) => top + (height - top - bottom) * (1 - (v - low) / (high - low));
  for (let value = low; value <= high + step / 2; value += step) {
    svg.append(draw("line", {x1: left, x2: width - right, y1: y(value), y2: y(value), class: "rule"}));
    svg.append(draw("text", {x: left - 8, y: y(value) + 4, "text-anchor": "end"}, format(Math.abs(value) < step / 1e6 ? 0 : value)));
  }
  for (const part of [0, 0.5, 1]) {
    const ago = Math.round((last - first) * (1 - part));
    const label = ago === 0 ? "now" : ago < 120 ? `${ago} s ago` : `${Math.round(ago / 60)} min ago`;
    svg.append(draw("text", {x: x(first + (last - first) * part), y: height - 4, "text-anchor": ["start", "middle", "end"][part * 2]}, label));
  }
  for (const mark of marks) if (mark >= first && mark <= last) svg.append(draw("line", {x1: x(mark), x2: x(mark), y1: top, y2: height - bottom, class: "mark"}));
  const path = (list) => list.map(([t, v], i) => `${i ? "L" : "M"}${x(t).toFixed(1)},${y(v).toFixed(1)}`).join("");
  for (const {color, points: own} of series) {
    const banded = own.filter((p) => p.length > 2);
    if (banded.length > 1) svg.append(draw("path", {class: `band ${color}`, d: `${path(banded.map((p) => [p[0], p[3]]))}L${path(banded.map((p) => [p[0], p[2]]).reverse()).slice(1)}Z`}));
  }
  for (const {color, points: own} of series) svg.append(draw("path", {class: color, d: path(own)}));
  place.replaceChildren(svg);
}
function keys(id, series, format) {
  $(id).replaceChildren(...series.map((each) => make("li", {}, make("span", {class: each.color}), each.name, make("b", {}, each.points.length ? format(each.points.at(-1)[1]) : "–"))));
}
const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
function wilson(hits, scored) {
  const z = 1.96, rate = hits / scored, middle = (rate + z * z / 2 / scored) / (1 + z * z / scored);
  const half = z / (1 + z * z / scored) * Math.sqrt(rate * (1 - rate) / scored + z * z / 4 / scored / scored);
  return [rate, Math.max(0, middle - half), middle + half];
}

// --- what is known ---------------------------------------------------------------------------------
let points = [], buckets = [], weights = [], drifts = [], now = {};
function take(isSnapshot, told) {
  if (isSnapshot) ({points, buckets, weight_points: weights, drifts} = told);
  else {
    if (told.point) points.push(told.point);
    if (told.bucket) { if (buckets.length && buckets.at(-1)[0] === told.bucket[0]) buckets.pop(); buckets.push(told.bucket); }
    if (told.weights && (!weights.length || weights.at(-1)[0] < told.weights[0])) weights.push(told.weights);
    points = points.slice(-300); buckets = buckets.slice(-240); weights = weights.slice(-240);
  }
  now = told;
  if (now.point) show();
}
// A challenger beside the model of the job: its hit rate less the model's, in points of a hundred.
function showChallenger(difference) {
  $("challenger").hidden = !difference;
  if (!difference) return;
  const points = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(2)}`, {mean, low, high} = difference;
  const verdict = low > 0 ? "The challenger is better." : high < 0 ? "The challenger is worse." : "The two are not told apart yet.";
  set("challenger", `Challenger less champion: ${points(mean)} points, always-valid 95 % interval ${points(low)} to ${points(high)}. ${verdict}`);
}
function show() {
  const job = now.job, mean = (column) => points.slice(-3).reduce((sum, p) => sum + p[column], 0) / Math.min(3, points.length);
  $("ask").hidden = true;
  for (const [id, column] of [["in", 1], ["out", 2], ["asked", 3]]) set(id, number(Math.round(mean(column))));
  set("lag", job ? number(job.lag) : "–");
  set("p50", job?.p50 == null ? "–" : number(job.p50 * 1000));
  set("p99", job?.p99 == null ? "–" : number(job.p99 * 1000));
  set("top", `${now.top}`);
  showChallenger(job?.difference);
  set("sentence", `${number(Math.round(mean(1)))} events a second come in, ${number(Math.round(mean(2)))} lists go out.`);
  state(now.ready ? (job ? `live · ${job.model} · ${job.learned.toLocaleString("en")} events learned` : "live · the job's metrics do not answer") : "reading the topic", now.ready ? "good" : "");
  $("faults").hidden = !now.faults.length;
  $("faults").replaceChildren(...now.faults.map((fault) => make("p", {}, fault)));
  figures();
  showTrending();
  ranking("rising", now.rising, (each) => each.count - each.before, (each) => `${each.before} → ${each.count}`, "up");
  $("rejects").replaceChildren(...now.rejects.map((each) => make("li", {}, make("span", {}, each.field ? `${each.reason}: ${each.field}` : each.reason), make("span", {class: "value"}, number(each.count)), make("pre", {}, each.raw || each.source))),
    ...now.refused.map((each) => make("li", {}, make("span", {}, `${each.reason}, refused at the door`), make("span", {class: "value"}, number(each.count)))));
  if (!now.rejects.length && !now.refused.length) $("rejects").replaceChildren(make("li", {}, make("span", {class: "value"}, "None.")));
  offerUsers();
}
function figures() {
  const rates = [["events in", "s1", 1], ["lists out", "s2", 2]].map(([name, color, column]) => ({name, color, points: points.map((p, i) => {
    const near = points.slice(Math.max(0, i - 2), i + 1);
    return [p[0], near.reduce((sum, q) => sum + q[column], 0) / near.length];
  })}));
  keys("rate-keys", rates, (value) => number(Math.round(value)));
  chart("rates", rates, {format: number, floor: 4});
  const hits = ["fresh", "served", "fallback"].map((name, k) => ({name, color: `s${[1, 2, 3][k]}`, points: buckets.map((bucket, i) => {
    const near = buckets.slice(Math.max(0, i - 11), i + 1).filter((b) => bucket[0] - b[0] < 60);
    const scored = near.reduce((sum, b) => sum + b[1][k], 0), good = near.reduce((sum, b) => sum + b[2][k], 0);
    return scored < 20 ? null : [bucket[0], ...wilson(good, scored)];
  }).filter(Boolean)})).filter((each, k) => k < 2 || each.points.length);
  keys("hit-keys", hits, percent);
  chart("hits", hits, {format: percent, floor: 0.02});
  const last = weights.at(-1)?.[1] ?? {};
  const members = Object.keys(last).sort((a, b) => Math.abs(last[b]) - Math.abs(last[a])).slice(0, 8);
  const lines = members.map((name, k) => ({name, color: `s${k + 1}`, points: weights.filter((w) => name in w[1]).map((w) => [w[0], w[1][name]])}));
  const short = (value) => value.toFixed(Math.abs(value) < 10 ? 2 : 0);
  keys("weight-keys", lines, short);
  chart("weights", lines, {format: short, marks: drifts});
}
function state(text, kind) { set("state", text); $("state").className = `state ${kind}`; }

// --- lists of items ----------------------------------------------------------------------------------
const itemLink = (each) => make("button", {class: "link", type: "button", onclick: () => showItem(each.item)}, title(each));
const userLink = (user) => make("button", {class: "link", type: "button", onclick: () => watchUser(user)}, user);
function bar(share, kind) {
  const made = make("span", {class: `bar ${kind}`, "aria-hidden": "true"});
  made.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return made;
}
function row(place, name, value, ...more) {
  return make("li", {}, make("span", {class: "place"}, place), make("span", {}, name), make("span", {class: "value"}, value), ...more);
}
function ranking(id, items, size, value, kind) {
  if (document.activeElement && $(id).contains(document.activeElement)) return;  // a keyboard stands here
  const most = Math.max(1, ...items.map(size));
  $(id).replaceChildren(...items.map((each, i) => row(`${i + 1}`, itemLink(each), value(each), bar(size(each) / most, kind))));
  if (!items.length) $(id).replaceChildren(row("", "Nothing yet.", ""));
}

// What trends as the job says it, of all items or of a tag; where it says nothing, what most events of late are of.
let tag = "";
async function showTrending() {
  const told = now.trending;
  let items = told;
  if (tag && told) {
    const asked = tag;
    try { items = (await (await ask(`/v1/trending?tag=${encodeURIComponent(tag)}`)).json()).items; } catch { return; }
    if (asked !== tag) return;
  }
  $("trending-of").hidden = !tag;
  set("trending-title", tag ? `Trending: ${tag}` : told ? "Trending" : "Most events");
  set("trending-said", told ? "Popular now, by the model's decayed counts." : "Among the newest 2,000 events. For lists of the job, set trending.");
  if (told) ranking("trending", items, (each) => each.score, (each) => number(each.score), "");
  else ranking("trending", now.most, (each) => each.count, (each) => `${each.count}`, "");
}
function ofTag(name) { tag = name; showTrending(); }
const tagLink = (name) => now.trending ? make("button", {class: "link", type: "button", onclick: () => ofTag(name)}, name) : name;

// --- a user ------------------------------------------------------------------------------------------
let watched = null, shown = {list: [], history: ""};
function offerUsers() {
  if (watched || $("newest-users").dataset.done) return;
  const item = now.most?.[0];
  if (!item) return;
  $("newest-users").dataset.done = "1";
  ask(`/v1/items/${encodeURIComponent(item.item)}`).then((answer) => answer.json()).then((found) => {
    const users = [...new Set(found.takers.map((each) => each.user))].slice(0, 5);
    $("newest-users").replaceChildren(...users.flatMap((user, i) => i ? [", ", userLink(user)] : [userLink(user)]));
    if (users.length && !watched) watchUser(users[0]);
    if (!$("item").value) showItem(item.item);
  }).catch(() => {});
}
function watchUser(user) {
  watched?.abort();
  watched = new AbortController();
  shown = {list: [], history: ""};
  $("user").value = user;
  $("user-found").hidden = true;
  set("user-said", "Asking.");
  const said = (message) => set("user-said", message);
  stream(`/v1/users/${encodeURIComponent(user)}/stream`, (_, told) => showUser(told), watched.signal, said);
}
const KINDS = {own: "The user's own list", fallback: "The list for everybody: the user has none, or an old one", merged: "The user's list and the list for everybody, merged", none: "There is no list yet"};
function showUser({user, list, history}) {
  $("user-found").hidden = false;
  const made = list.event_time == null ? "" : `, made at ${when(list.event_time)} UTC after ${list.source}`;
  set("user-said", `${KINDS[list.kind]}${made}.`);
  const most = Math.max(1e-9, ...list.items.map((each) => each.score ?? 0)), before = shown.list;
  const rows = list.items.map((each, i) => {
    const why = Object.entries(each.why ?? {}).map(([name, value]) => make("span", {}, `${name} ${value.toFixed(2)}`));
    const was = before.indexOf(each.item), moved = !before.length || was === i ? "" : was < 0 ? "new" : was > i ? `▲ ${was - i}` : `▼ ${i - was}`;
    const made = row(`${i + 1}`, itemLink(each), `${moved} ${each.score == null ? "" : each.score.toFixed(3)}`, bar((each.score ?? 0) / most, "score"), ...(why.length ? [make("span", {class: "why"}, ...why)] : []));
    if (before.length && was < 0) made.className = "new";
    return made;
  });
  $("user-list").replaceChildren(...rows);
  shown.list = list.items.map((each) => each.item);
  const newest = shown.history;
  $("user-history").replaceChildren(...history.slice(0, 15).map((each) => {
    const made = make("li", {}, make("span", {}, itemLink(each)), make("span", {class: "value"}, `${each.event} · ${when(each.time)}`));
    if (newest && each.source > newest && each.source.length >= newest.length) made.className = "new";
    return made;
  }));
  if (!history.length) $("user-history").replaceChildren(make("li", {}, make("span", {class: "value"}, "No events among the newest.")));
  shown.history = history[0]?.source ?? "";
}

// --- an item -----------------------------------------------------------------------------------------
async function showItem(item) {
  $("item").value = item;
  const place = $("item-found");
  try {
    const found = await (await ask(`/v1/items/${encodeURIComponent(item)}`)).json();
    const users = [...new Set(found.takers.map((each) => each.user))].slice(0, 8);
    place.replaceChildren(make("h3", {}, title(found)), ...(found.tags.length ? [make("p", {class: "said"}, ...found.tags.flatMap((each, i) => i ? [" · ", tagLink(each)] : [tagLink(each)]))] : []),
      make("p", {}, users.length ? "Newest users: " : "No user among the newest.", ...users.flatMap((user, i) => i ? [", ", userLink(user)] : [userLink(user)])),
      ...(found.related?.length ? [make("p", {class: "said"}, "Related items"), make("ol", {class: "rows"}, ...found.related.slice(0, 6).map((each, i) => row(`${i + 1}`, itemLink(each), percent(each.score ?? 0), bar((each.score ?? 0) / (found.related[0].score || 1), ""))))]
        : [make("p", {class: "said"}, found.related ? "No related items yet." : "For related items, set related.")]));
  } catch (error) { place.replaceChildren(make("p", {}, error.message)); }
}

$("user-form").addEventListener("submit", (event) => { event.preventDefault(); watchUser($("user").value); });
$("item-form").addEventListener("submit", (event) => { event.preventDefault(); showItem($("item").value); });
$("trending-all").addEventListener("click", () => ofTag(""));
let main = null;
function begin() {
  main?.abort();
  main = new AbortController();
  stream("/v1/live", take, main.signal, (message) => state(`not connected: ${message}`, "bad"));
}
$("token-form").addEventListener("submit", (event) => { event.preventDefault(); sessionStorage.token = $("token").value; begin(); });
new ResizeObserver(() => { if (now.point) figures(); }).observe(document.body);
begin();
