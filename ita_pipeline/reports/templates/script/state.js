// The address behind # is the state: filters, page, and the entry that is open.

const CHOOSERS = ["show", "type", "split", "stage", "sort"];
const FIRST = { show: "all", sort: data.order };
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

function passes(entry, state) {
  const tags = entry.tags || [];
  return (
    (state.show === "all" || tags.includes(state.show)) &&
    (!state.type || (entry.types || []).includes(state.type)) &&
    (!state.split || entry.split === state.split) &&
    (!state.stage || tags.includes(`failed:${state.stage}`)) &&
    state.find.toLowerCase().split(/\s+/).every((word) => haystack(entry).includes(word))
  );
}

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
  if (ORDERS[state.sort]) chosen.sort(ORDERS[state.sort]);
}
