"use strict";
// Asks /status and /history every 4 s (the port closes a connection that is idle for 5 s) and shows what they say.
// Everything is written as text, never as markup. A part is written anew only when it has changed, so that what somebody
// reads, selects or has focused stays where it is.
(() => {
const every = 4000, patience = 4500;
const byId = id => document.getElementById(id);
let token = "", answeredAt = null, lostAt = null, timer = 0, asking = false;
let past = { started: null, turn: 0, keeps: 180, seconds: [], services: new Map() };
const written = new Map(); // id of a part -> what it was made of

// ---- asking

async function fetchJson(path) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const reply = await fetch(path, { headers, cache: "no-store", credentials: "omit", redirect: "error",
                                    signal: AbortSignal.timeout(patience) });
  if (!reply.ok) throw Object.assign(new Error(path + " answers " + reply.status), { status: reply.status });
  return reply.json();
}

async function ask() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  let again = true;
  try {
    let [status, history] = await Promise.all([fetchJson("/status"), fetchJson("/history?since=" + past.turn)]);
    if (history.started_at !== past.started && past.turn !== 0) history = await restart();
    answeredAt = new Date();
    learn(history);
    show(status, history);
  } catch (error) {
    if (error.status === 401) {
      askForToken();
      again = false;
    } else {
      lostAt ??= new Date();
      showLost(error);
    }
  }
  asking = false;
  if (again) timer = setTimeout(ask, every);
}

// Another process answers: what it remembers is another past.
function restart() {
  past = { started: null, turn: 0, keeps: 180, seconds: [], services: new Map() };
  return fetchJson("/history?since=0");
}

// Puts the samples that are new behind those that are known.
function learn(history) {
  const behind = (known, more) => known.concat(more).slice(-history.keeps);
  past.started = history.started_at;
  past.turn = history.turn;
  past.keeps = history.keeps;
  past.seconds = behind(past.seconds, history.seconds);
  const services = new Map();
  for (const [name, { samples }] of Object.entries(history.services)) {
    const known = past.services.get(name) ?? {};
    const all = {};
    for (const [what, more] of Object.entries(samples)) all[what] = behind(known[what] ?? [], more);
    services.set(name, all);
  }
  past.services = services;
}

function askForToken() {
  byId("token-wrong").textContent = token ? "That is not the token." : "";
  token = "";
  byId("ask").hidden = false;
  byId("report").hidden = true;
  showFound();
  setBadge("", "Token needed");
  byId("token").focus();
}

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  ask();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && byId("ask").hidden) ask(); });

// ---- making elements

function make(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) made[key] = value;
  made.append(...children);
  return made;
}

// Whether the part is to be written, since it is made of something else than before.
function isNew(id, madeOf) {
  const text = JSON.stringify(madeOf);
  if (written.get(id) === text) return false;
  written.set(id, text);
  return true;
}

// columns: [title, class]; a row is a list of cells, the first of which names it: texts, or {text, class, code}.
function table(id, caption, columns, rows) {
  if (!isNew(id, [caption, rows])) return;
  const head = make("tr");
  for (const [title, kind] of columns) head.append(make("th", { scope: "col", className: kind ?? "", textContent: title }));
  const body = make("tbody");
  for (const row of rows) {
    const line = make("tr");
    row.forEach((cell, i) => {
      const { text, kind, code } = typeof cell === "object" ? cell : { text: cell };
      const made = make(i === 0 ? "th" : "td", { className: [columns[i][1], kind].filter(Boolean).join(" ") });
      if (i === 0) made.scope = "row";
      made.append(code ? make("code", { textContent: text }) : String(text));
      line.append(made);
    });
    body.append(line);
  }
  byId(id).replaceChildren(make("caption", { textContent: caption }), make("thead", {}, head), body);
}

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// ---- numbers as text

const number = value => value == null ? "–" : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : String(+value.toFixed(2));
const percent = value => value == null ? "–" : number(value * 100) + " %";
const milliseconds = value => value == null ? "–" : value >= 1000 ? number(value / 1000) + " s" : number(value) + " ms";
const clock = at => (typeof at === "string" ? at : at.toISOString()).replace("T", " ").replace(/(\.\d+)?Z$/, "");
const nameOf = service => service === "" ? "(no service)" : service;
const highest = values => values.reduce((most, value) => value != null && value > most ? value : most, 0);

function duration(seconds) {
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${seconds} s`;
}

// ---- the parts

function setBadge(level, text) {
  const badge = byId("verdict");
  badge.className = "badge " + level;
  if (badge.textContent !== text) badge.textContent = text; // told to a screen reader, so only when it is news
}

function showLost(error) {
  const since = answeredAt ? `What is shown is from ${clock(answeredAt)}.` : "Nothing has been shown yet.";
  const text = `No connection since ${clock(lostAt)}: ${error.status ? error.message : "scoregate does not answer"}. ${since}`;
  const line = byId("lost");
  if (line.textContent !== text) line.textContent = text;
  line.hidden = false;
  document.body.classList.add("stale");
  setBadge("bad", "No connection");
}

function showFound() {
  lostAt = null;
  byId("lost").hidden = true;
  byId("lost").textContent = "";
  document.body.classList.remove("stale");
}

function show(status, history) {
  showFound();
  byId("ask").hidden = true;
  byId("report").hidden = false;
  const level = history.health.level;
  setBadge(level, { good: "Healthy", warning: "Healthy, with warnings", bad: "Not healthy" }[level] ?? level);
  byId("about").textContent = `version ${status.version}, up ${duration(status.uptime_s)}, ` +
      `${status.connections.open} connections, as of ${clock(history.at)}`;
  document.title = (level === "good" ? "" : level === "bad" ? "✖ " : "! ") + "scoregate";
  showFindings(history.health.findings);
  showServices(history);
  showCharts();
  showReplicas(status, history);
  showCertificates(status);
  showReloads(status);
  showErrors(history);
}

function showFindings(findings) {
  if (!isNew("findings", findings)) return;
  const words = { bad: "Bad: ", warning: "Warning: " };
  byId("findings").replaceChildren(...(findings.length === 0 ? [make("li", { textContent: "Nothing: all is as it should be." })] :
    findings.map(each => make("li", {}, make("strong", { className: each.level, textContent: words[each.level] ?? "" }), each.text))));
}

function showServices(history) {
  const errors = of => ({ text: percent(of.error_ratio), kind: of.errors > 0 ? "bad" : "" });
  const rows = Object.entries(history.services).filter(([name, of]) => name !== "" || of.recent.requests > 0).map(([name, { now, recent }]) =>
    [nameOf(name), number(now.rate), errors(now), percent(now.client_error_ratio), milliseconds(now.p50_ms), milliseconds(now.p99_ms),
     now.queued, now.in_flight, number(recent.rate), errors(recent), milliseconds(recent.p50_ms), milliseconds(recent.p99_ms), recent.queued]);
  const right = titles => titles.map(title => [title, "number"]);
  const seconds = Math.round(past.seconds.reduce((sum, each) => sum + each, 0));
  const known = seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  table("services", `Now, and over the last ${known}`,
        [["Service"], ...right(["Requests/s", "Errors", "Client errors", "p50", "p99", "Queue", "In flight", `${known}: requests/s`,
                                "errors", "p50", "p99", "longest queue"])], rows);
  byId("left-out").hidden = history.services_left_out === 0;
  byId("left-out").textContent = `${history.services_left_out} more services have no history: see /metrics.`;
}

// lines: [title, values, class]; one chart of the last 15 minutes, time to the right, from zero up.
function chart(title, text, lines) {
  const width = 600, height = 100, slots = past.keeps;
  const top = Math.max(highest(lines.flatMap(([, values]) => values)), 1e-9);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  picture.setAttribute("aria-label", `${title}, last 15 minutes: ` +
      lines.map(([name, values]) => `${name} now ${text(values.at(-1))}, highest ${text(highest(values))}`).join("; "));
  for (const y of [5, 50, 95]) picture.append(svg("line", { x1: 0, x2: width, y1: y, y2: y }));
  for (const [, values, kind] of lines) {
    let d = "", open = false;
    values.forEach((value, i) => {
      if (value == null) { open = false; return; }
      const x = (slots - values.length + i + 1) / slots * width, y = 95 - value / top * 90;
      d += open ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${(x - 2).toFixed(1)} ${y.toFixed(1)}L${x.toFixed(1)} ${y.toFixed(1)}`;
      open = true;
    });
    if (d) picture.append(svg("path", { d, class: kind ?? "" }));
  }
  const ends = make("div", { className: "ends" }, make("span", { textContent: "15 min ago" }),
                    make("span", { textContent: `top: ${text(highest(lines.flatMap(([, values]) => values)))}` }),
                    make("span", { textContent: "now" }));
  ends.setAttribute("aria-hidden", "true"); // the label says it
  return make("figure", {}, make("figcaption", { textContent: title }), picture, ends);
}

function charts(of) {
  const seconds = past.seconds.slice(-of.requests.length);
  const ratio = what => of[what].map((value, i) => of.requests[i] ? Math.min(1, value / of.requests[i]) : null);
  return [
    chart("Requests per second", number, [["requests", of.requests.map((value, i) => value / seconds[i])]]),
    chart("Errors (client errors dashed)", percent, [["errors", ratio("errors")], ["client errors", ratio("client_errors"), "second"]]),
    chart("Duration: p50, and p99 dashed", milliseconds, [["p50", of.p50_ms], ["p99", of.p99_ms, "second"]]),
    chart("Queue (in flight dashed)", number, [["queue", of.queued], ["in flight", of.in_flight, "second"]]),
  ];
}

// A few services are open from the start; of many, those that somebody opens.
function showCharts() {
  const all = byId("charts"), there = new Map([...all.children].map(each => [each.dataset.service, each]));
  const names = [...past.services.keys()].filter(name => name !== "");
  for (const [name, each] of there) if (!names.includes(name)) each.remove();
  for (const name of names) {
    let one = there.get(name);
    if (!one) {
      one = make("details", { open: names.length <= 6 }, make("summary", { textContent: name }), make("div", { className: "four" }));
      one.dataset.service = name;
      one.addEventListener("toggle", () => draw(one));
      all.append(one);
    }
    draw(one);
  }
}

function draw(one) {
  const of = past.services.get(one.dataset.service);
  if (one.open && of && of.requests.length > 0) one.lastElementChild.replaceChildren(...charts(of));
}

function showReplicas(status, history) {
  const lastError = new Map();
  for (const each of [...history.errors].reverse()) if (each.side === "replica") lastError.set(each.replica, each);
  const all = [];
  for (const [service, { deployments }] of Object.entries(status.services ?? {}))
    for (const [deployment, { replicas }] of Object.entries(deployments))
      for (const one of replicas) all.push({ ...one, of: `${service}/${deployment}` });
  all.sort((a, b) => a.ready - b.ready);
  const sick = all.filter(one => !one.ready).length;
  const most = 200;
  const rows = all.slice(0, Math.max(most, sick)).map(one => {
    const error = lastError.get(one.url);
    return [{ text: one.url, code: true }, one.of, { text: one.ready ? one.standing : one.standing === "ready" ? "unresolved" : one.standing, kind: one.ready ? "good" : "bad" },
            one.since ? clock(one.since) : "", one.in_flight, one.why ?? "", error ? `${error.token || error.status}, ${clock(error.at)}` : ""];
  });
  table("replicas", `${all.length - sick} of ${all.length} can be used` + (rows.length < all.length ? `; ${rows.length} are shown` : ""),
        [["Replica", "wide"], ["Deployment"], ["State"], ["Since"], ["In flight", "number"], ["Why", "wide"], ["Last error"]], rows);
}

function showCertificates(status) {
  const kinds = { fine: "good", renew: "warning", week: "warning" };
  table("certificates", status.certificates.length ? "Served by SNI; the first is the default" : "None: TLS is off",
        [["Name"], ["Days left", "number"], ["Expires"], ["Valid for", "wide"], ["Key"], ["Serial"]],
        status.certificates.map(each => [each.cname, { text: each.days_left, kind: kinds[each.expiry] ?? "bad" }, clock(each.not_after),
                                         each.names.join(", "), each.key_type, { text: each.serial, code: true }]));
}

function showReloads(status) {
  const rows = Object.entries(status.reloads ?? {}).map(([unit, of]) =>
    [unit, of.last_result ? { text: of.last_result, kind: of.last_result === "failed" ? "bad" : "good" } : "none yet", of.last_at ? clock(of.last_at) : "",
     of.succeeded, of.failed, (of.problems ?? []).join("\n")]);
  table("reloads", "The last of each unit, which keeps its last good state",
        [["Unit"], ["Last result"], ["At"], ["Succeeded", "number"], ["Failed", "number"], ["Problems", "wide"]], rows);
}

function showErrors(history) {
  table("errors", history.errors.length ? "The newest first; the access log has each request id" : "None since the start",
        [["Time"], ["Token"], ["Side"], ["Status", "number"], ["Deployment"], ["Replica", "wide"], ["Request id"]],
        history.errors.map(each => [clock(each.at), each.token ? { text: each.token, code: true } : "the model's own", each.side, each.status || "cut",
                                    each.service + (each.deployment ? "/" + each.deployment : ""), each.replica,
                                    { text: each.request_id, code: true }]));
}

ask();
})();
