// The address behind # is the state: filters, page, and the entry that is open.

const FACETS = ["show", "type", "split", "stage", "error", "pair", "object", "sure", "seen"];
const CHOOSERS = [...FACETS, "sort"];
const FIRST = { show: "all", sort: data.order };
const RANGES = { low: ["below 50 %", 0, 0.5], middle: ["50–80 %", 0.5, 0.8], high: ["80–95 %", 0.8, 0.95], top: ["95 % or more", 0.95, 2] };
const SEEN = { seen: "seen in train", unseen: "unseen" };
const MAX_LABELS = 40;
const byAnchor = new Map(entries.map((entry) => [entry.anchor, entry]));

function readState() {
  const hash = location.hash.slice(1);
  const given = new URLSearchParams(hash.includes("=") ? hash : "");
  const state = { find: given.get("find") || "", page: Math.max(1, parseInt(given.get("page"), 10) || 1) };
  for (const name of CHOOSERS) {
    const known = at(name) ? Array.from(at(name).options, (option) => option.value) : [];
    const value = given.get(name);
    state[name] = known.includes(value) ? value : FIRST[name] || "";
  }
  state.post = byAnchor.has(given.get("post")) ? given.get("post") : "";
  return state;
}

function address(state) {
  const given = new URLSearchParams();
  for (const name of CHOOSERS) {
    if (state[name] && state[name] !== FIRST[name]) given.set(name, state[name]);
  }
  if (state.find) given.set("find", state.find);
  if (state.page > 1) given.set("page", state.page);
  if (state.post) given.set("post", state.post);
  return `#${given}`;
}

// A new filter takes the place of the last one in the history; an opened entry is a step of its own.
function go(changes, step) {
  const target = address({ ...readState(), ...changes });
  const empty = target === "#" && location.hash === "";
  if (target === location.hash || empty) return;
  if (step) location.hash = target;
  else location.replace(target === "#" ? "#show=all" : target);
}

function haystack(entry) {
  if (entry.haystack === undefined) {
    const found = entry.found || {};
    const texts = [entry.id, entry.file, (entry.parts || []).join(""), ...(entry.contexts || []).map(([, text]) => text)];
    texts.push(...(entry.more || []).map(haystack));
    for (const object of found.objects || []) texts.push(object.label, ...(object.attributes || []).map((a) => a[0]));
    for (const word of found.words || []) texts.push(word.text);
    for (const caption of found.captions || []) texts.push(caption.text);
    for (const trouble of found.failed || []) texts.push(trouble.stage, trouble.reason);
    entry.haystack = texts.join("\n").toLowerCase();
  }
  return entry.haystack;
}

const labelsOf = (entry) => {
  const found = [entry, ...(entry.more || [])].flatMap((one) => (one.found || {}).objects || []);
  return new Set(found.filter((thing) => thing.used !== false).map((thing) => thing.label));
};
const tagged = (name) => (entry, value) => (entry.tags || []).includes(`${name}:${value}`);
const within = (entry, value) => entry.confidence >= RANGES[value][1] && entry.confidence < RANGES[value][2];
const MATCHES = {
  show: (entry, value) => value === "all" || (entry.tags || []).includes(value),
  type: (entry, value) => (entry.types || []).includes(value),
  split: (entry, value) => entry.split === value,
  stage: tagged("failed"),
  error: tagged("error"),
  pair: tagged("pair"),
  seen: tagged("seen"),
  object: (entry, value) => (entry.labels ||= labelsOf(entry)).has(value),
  sure: within,
};
const finds = (entry, text) => text.toLowerCase().split(/\s+/).every((word) => haystack(entry).includes(word));

function passes(entry, state, except) {
  return FACETS.every((name) => name === except || !state[name] || MATCHES[name](entry, state[name])) && finds(entry, state.find);
}

// The choices that only the entries know: kinds of errors, confused types, labels of objects, and ranges of scores.
function fillChoosers() {
  const counts = new Map();
  const add = (key) => counts.set(key, (counts.get(key) || 0) + 1);
  for (const entry of entries) {
    for (const tag of entry.tags || []) if (/^(error|pair|seen):/.test(tag)) add(tag);
    for (const label of labelsOf(entry)) add(`object:${label}`);
    for (const range of Object.keys(RANGES)) if (within(entry, range)) add(`sure:${range}`);
  }
  const nameOf = {
    error: (value) => (data.kinds || {})[value] || value,
    pair: (value) => value.split(">").map((type) => (type === "O" ? "no mention" : type)).join(" → "),
    object: (value) => value,
    sure: (value) => RANGES[value][0],
    seen: (value) => SEEN[value],
  };
  for (const [name, named] of Object.entries(nameOf)) {
    const known = [...counts].filter(([key]) => key.startsWith(`${name}:`)).map(([key, count]) => [key.slice(name.length + 1), count]);
    if (name === "sure") known.sort(([a], [b]) => Object.keys(RANGES).indexOf(a) - Object.keys(RANGES).indexOf(b));
    else known.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    for (const [value] of known.slice(0, MAX_LABELS)) {
      const option = make("option", { value }, named(value));
      option.dataset.name = named(value);
      put(at(name), option);
    }
    at(name).closest("label").hidden = known.length < 2;
  }
}

// How many entries each choice leaves, if the other filters stay.
function countChoices(state) {
  for (const name of FACETS.filter((one) => at(one))) {
    const others = entries.filter((entry) => passes(entry, state, name));
    for (const option of at(name).options) {
      if (!option.value) continue;
      const count = others.filter((entry) => MATCHES[name](entry, option.value)).length;
      option.textContent = `${option.dataset.name} (${count})`;
    }
  }
}

const isFiltered = (state) => Boolean(state.find) || FACETS.some((name) => state[name] && state[name] !== FIRST[name]);

// Entries with nothing to be sure of come last either way.
const sure = (entry, none) => (entry.confidence === undefined ? none : entry.confidence);
const ORDERS = {
  order: null,
  telling: (a, b) => (a.rank || 0) - (b.rank || 0),
  unsure: (a, b) => sure(a, 2) - sure(b, 2),
  sure: (a, b) => sure(b, -1) - sure(a, -1),
};

let chosen = [];
let chosenFor = "";

function choose(state) {
  const wanted = address({ ...state, page: 1, post: "" });
  if (wanted === chosenFor) return;
  chosenFor = wanted;
  chosen = entries.filter((entry) => passes(entry, state));
  countChoices(state);
  if (ORDERS[state.sort]) chosen.sort(ORDERS[state.sort]);
}
