"use strict";
// Everything that comes from requests is put in as text, never as HTML.

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en").format;
const maxRequests = 50;
let started = 0; // of the server that the page shows
let seen = 0; // the number of the last request that the page has

// element makes an element with a text, or with children.
function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// text sets a text only if it changes, so that a selection and what a screen reader has begun stay.
function text(id, value) {
  const e = byId(id);
  if (e.textContent !== value) e.textContent = value;
}

// breakable lets a line break after each "_" of a name.
function breakable(text) {
  return text.split(/(?<=_)/).flatMap((part) => [part, document.createElement("wbr")]);
}

// fill puts elements into a list, unless it shows the same already.
function fill(id, list, make) {
  const e = byId(id);
  const shown = JSON.stringify(list);
  if (e.dataset.shown === shown) return;
  e.dataset.shown = shown;
  e.replaceChildren(...list.map(make));
}

// rows fills a table. A number is a cell with a number.
function rows(id, list) {
  fill(id, list, (cells) => element("tr", "", ...cells.map((cell, i) => {
    const isNumber = typeof cell === "number";
    const td = element(i === 0 ? "th" : "td", isNumber ? "number" : "", ...(isNumber ? [number(cell)] : breakable(cell)));
    if (i === 0) td.scope = "row";
    return td;
  })));
}

function attributes(attrs) {
  const names = Object.keys(attrs || {}).sort();
  return names.map((name) => `${name}: ${attrs[name] === "" ? "(empty)" : attrs[name]}`).join(", ");
}

const kinds = {
  all: "everybody", tag: "those who match", attr: "those whose attributes match", batch: "listed accounts", user: "listed accounts",
};

// step is one of the four steps in the life of a push, with its share of all accounts if it has one.
function step(name, value, done, share) {
  const e = element("div", done ? "done" : "", element("dt", "", name), element("dd", "", value));
  if (share !== undefined) {
    const bar = element("span", "");
    bar.style.width = `${100 * share}%`;
    e.append(element("span", "share", bar));
  }
  return e;
}

function pushItem(title, note, bad, ...steps) {
  const p = element("p", "", note);
  if (bad) p.append(" ", element("span", "bad", bad));
  return element("li", "", element("h3", "", title || "(without a title)"), p, element("dl", "life", ...steps));
}

function pendingItem(t) {
  return pushItem(t.title, `To ${kinds[t.kind] || t.kind}, task ${t.id}.`, t.fault && `Not sent: ${t.fault}`,
    step("scheduled", t.at, true), ...["sent", "reached", "clicked"].map((name) => step(name, "\u2013", false)));
}

function sentItem(p) {
  const counted = (name, n) => step(name, number(n), true, p.accounts ? n / p.accounts : 0);
  const accounts = `${number(p.accounts)} ${p.accounts === 1 ? "account" : "accounts"}`;
  const task = p.state.startsWith("sent for task") ? ` It was ${p.state}.` : "";
  return pushItem(p.title, `${p.time}, to ${kinds[p.kind] || p.kind}: ${accounts}. TaskID ${p.task}.${task}`, p.state === "revoked" && "Revoked.",
    step("scheduled", p.scheduled || "no", Boolean(p.scheduled)), counted("sent", p.sent), counted("reached", p.reached), counted("clicked", p.clicked));
}

function life(state) {
  const pending = state.pending || [];
  const pushes = state.pushes || [];
  const more = state.waiting > pending.length ? `, the next ${pending.length} of them here` : "";
  text("pushes-note", pending.length || pushes.length ? `${number(state.waiting)} scheduled${more}. Below are the last that were sent, the newest first.` : "None yet.");
  fill("pending", pending, pendingItem);
  fill("pushes", pushes, sentItem);
}

function shape(name, className, attrs) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  e.setAttribute("class", className);
  for (const key in attrs) e.setAttribute(key, attrs[key]);
  return e;
}

function chart(state) {
  const seconds = state.seconds || [];
  const top = Math.max(state.quota * 1.15, 10, ...seconds.map((s) => s[0] * 1.05));
  const height = (n) => (n / top) * 120;
  const shapes = [];
  seconds.forEach(([calls, refused], i) => {
    const taken = calls - refused;
    if (taken) shapes.push(shape("rect", "taken", { x: i * 10 + 1, width: 8, y: 120 - height(taken), height: height(taken) }));
    if (refused) shapes.push(shape("rect", "refused", { x: i * 10 + 1, width: 8, y: 120 - height(calls), height: height(refused) }));
  });
  text("quota", state.quota ? `the quota, ${number(state.quota)}` : "no quota");
  if (state.quota) shapes.push(shape("line", "quota", { x1: 0, x2: 600, y1: 120 - height(state.quota), y2: 120 - height(state.quota) }));
  byId("chart").replaceChildren(...shapes);
  const row = (state.commands || []).find((c) => c.name === state.busiest);
  if (!row) return;
  const quota = state.quota ? ` of ${state.quota}` : "";
  text("caption", `The last minute of ${row.name}: ${row.now}${quota} calls in the last second, ${row.most} at most.`);
}

// item makes the entry of a request. It is made once, so that it stays open, and keeps the focus.
function item(request) {
  const failed = request.failed ? `, ${number(request.failed)} of them refused` : "";
  const users = request.users ? `, ${number(request.users)} ${request.users === 1 ? "user" : "users"}${failed}` : "";
  return element("li", "", element("details", "",
    element("summary", "", `${request.time} ${request.command}${users}: `, element("span", request.good ? "" : "bad", request.outcome)),
    element("pre", "", `${request.head}\n\n${request.body}`)));
}

function requests(list) {
  for (const request of list) {
    if (request.id <= seen) continue;
    seen = request.id;
    byId("list").prepend(item(request));
  }
  while (byId("list").children.length > maxRequests) byId("list").lastElementChild.remove();
}

function show(state) {
  if (state.started !== started) {
    started = state.started;
    seen = 0;
    byId("list").replaceChildren();
  }
  chart(state);
  rows("commands", (state.commands || []).map((c) => [c.name, c.now, c.most, c.calls, c.refused]));
  rows("outcomes", (state.outcomes || []).map((o) => [o.text, o.requests, o.users]));
  rows("accounts", (state.accounts || []).map((a) => [a.account, attributes(a.attrs), (a.tags || []).join(", ")]));
  life(state);
  text("stored", `${number(state.stored)} ${state.stored === 1 ? "account has" : "accounts have"} attributes.`);
  text("names", state.names ? `The app's attributes: ${state.names.join(", ")}.` : "The app has no attributes.");
  requests(state.requests || []);
}

// events is null while the page is paused. What has come meanwhile is in the first event afterwards.
let events = null;

function connect() {
  events = new EventSource("/events");
  events.onopen = () => text("status", "Live.");
  events.onerror = () => text("status", "Not connected: is it still running?");
  events.onmessage = (event) => show(JSON.parse(event.data));
}

byId("pause").addEventListener("click", () => {
  if (events) {
    events.close();
    events = null;
    text("status", "Paused.");
  } else {
    connect();
  }
  byId("pause").setAttribute("aria-pressed", String(!events));
});

byId("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("account").value;
  try {
    const answer = await fetch("/account?name=" + encodeURIComponent(name));
    const found = await answer.json();
    const has = [attributes(found.attrs), ...(found.tags || []).map((tag) => `tag ${tag}`)].filter(Boolean).join(", ");
    text("found", has ? `${found.account} has ${has}.` : `${found.account} has no attributes and no tags.`);
  } catch {
    text("found", "It cannot be asked: is it still running?");
  }
});

connect();
