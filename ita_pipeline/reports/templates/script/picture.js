// A picture with what was found in it drawn on it.

function saidOfObject(object) {
  const attributes = (object.attributes || []).map(([label, score]) => `${label} ${percent(score)}`);
  const unused = object.used === false ? `; ${data.unused}` : "";
  return `${object.label} ${percent(object.score)}${attributes.length ? ` (${attributes.join(", ")})` : ""}${unused}`;
}

const saidOfWord = (word) => `word “${word.text}” ${percent(word.score)}${word.used === false ? `; ${data.unused}` : ""}`;

function frame(entry, told, reachable) {
  const source = pictures[entry.picture];
  if (!source) {
    const reason = make("p", { class: "none" }, bdi(entry.problem || "no picture"));
    return make("div", { class: "frame empty" }, reason);
  }
  const found = entry.found || {};
  const caption = (found.captions || [])[0];
  const name = `Picture of ${entry.id}${caption ? `: ${caption.text}` : ""}`;
  const size = found.width ? { width: found.width, height: found.height } : {};
  const lazy = source.startsWith("data:") ? {} : { loading: "lazy" };
  const image = make("img", { src: source, alt: name, decoding: "async", ...size, ...lazy });
  const shot = make("div", { class: "shot" }, image);
  if (reachable && found.width) shot.style.maxWidth = `min(100%, 40rem, ${(75 * found.width) / found.height}dvh)`;
  if (found.width) put(shot, overlay(found, told, reachable));
  // A thumbnail is not blown up.
  if (reachable) image.addEventListener("load", () => { shot.style.width = `min(100%, ${image.naturalWidth}px)`; });
  image.addEventListener("error", () => {
    shot.replaceWith(make("p", { class: "none" }, data.unshown || "The folder of thumbnails next to this page is missing."));
  });
  return make("div", { class: "frame" }, shot);
}

function overlay(found, told, reachable) {
  const { width, height } = found;
  const box = { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" };
  const label = reachable ? { role: "group", "aria-label": "Findings in the picture" } : { "aria-hidden": "true" };
  const svg = draw("svg", { ...box, ...label });
  const drawn = [];
  const unused = at("draw-unused").checked;
  if (at("draw-objects").checked) drawn.push(...(found.objects || []).map((thing) => ["object", thing]));
  if (at("draw-words").checked) drawn.push(...(found.words || []).map((thing) => ["word", thing]));
  // The largest first, so that smaller ones lie on top and can be reached.
  const area = ([, { box: [x0, y0, x1, y1] }]) => (x1 - x0) * (y1 - y0);
  drawn.sort((a, b) => area(b) - area(a));
  for (const [kind, thing] of drawn) {
    if (thing.used !== false || unused) put(svg, mark(kind, thing, told, reachable));
  }
  if (at("draw-objects").checked) {
    const shown = (found.objects || []).filter((thing) => thing.used !== false || unused);
    put(svg, labels(shown, found, reachable));
  }
  return svg;
}

// How large a letter of about 12 pixels is in pixels of the picture, as large as the picture is shown.
function letterSize({ width, height }, reachable) {
  if (!reachable) return 12 * Math.max(width / 380, height / 240);
  return 13 * Math.max(width / Math.min(560, window.innerWidth - 32), height / (0.75 * window.innerHeight));
}

// Objects with their attributes, the surest first. One that would lie on another is left out; pointing at its box
// tells it.
function labels(objects, found, reachable) {
  const size = letterSize(found, reachable);
  const group = draw("g", { class: "labels", "aria-hidden": "true" });
  const taken = [];
  for (const thing of [...objects].sort((a, b) => b.score - a.score)) {
    const [x0, y0, x1] = thing.box;
    const name = thing.tag || thing.label;
    const squares = (name.match(/[\u2e80-\uffef]/g) || []).length;
    const length = size * (0.6 * name.length + 0.4 * squares);
    // A label at the right edge runs to the left, so that it stays on the picture.
    const turned = x0 + length > found.width;
    const end = Math.min(x1, found.width) - size * 0.2;
    const left = turned ? end - length : x0 + size * 0.2;
    const top = Math.max(y0, 0);
    if (taken.some(([x, y, wide]) => Math.abs(y - top) < size && left < x + wide && x < left + length)) continue;
    taken.push([left, top, length]);
    const anchor = turned ? { x: end, "text-anchor": "end" } : { x: left };
    const text = inItsLanguage(draw("text", { ...anchor, y: top + size }, name));
    text.style.fontSize = `${size}px`;
    text.style.strokeWidth = `${size / 6}px`;
    put(group, text);
  }
  return group;
}

// The element of each finding that was drawn last.
const drawnMarks = new WeakMap();

function mark(kind, thing, told, reachable) {
  const [x0, y0, x1, y1] = thing.box;
  const place = { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) };
  const said = kind === "object" ? saidOfObject(thing) : saidOfWord(thing);
  const group = draw("g", { class: `mark ${kind}${thing.used === false ? " unused" : ""}` });
  drawnMarks.set(thing, group);
  if (reachable) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "img");
    group.setAttribute("aria-label", said);
  }
  if (reachable && data.switchable) switchOfBox(group, kind, thing);
  put(group, draw("rect", { ...place, class: "halo" }), draw("rect", { ...place, class: "edge" }));
  const tell = () => { told.textContent = said; };
  const hush = () => { told.textContent = ""; };
  // A listener for focus alone makes the group a stop of the tab key.
  for (const event of ["pointerenter", "pointerdown", ...(reachable ? ["focus"] : [])]) group.addEventListener(event, tell);
  for (const event of ["pointerleave", ...(reachable ? ["blur"] : [])]) {
    group.addEventListener(event, (happened) => { if (happened.pointerType !== "touch") hush(); });
  }
  return group;
}
