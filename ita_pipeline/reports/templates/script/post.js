// A post with what was said of it: as a card, and with all that is known of it.

const telling = data.telling;
const CONTEXTS = { objects: "objects", caption: "caption", ocr: "words", extra: "extra", knowledge: "knowledge" };
const colour = (type) => `c${Math.max(0, types.indexOf(type)) % 6}`;

function marked(entry, mentions, withScores) {
  const parts = entry.parts || [];
  const line = make("bdi", { dir: "auto" });
  let position = 0;
  for (const mention of [...mentions].sort((a, b) => a.start - b.start)) {
    put(line, parts.slice(position, 2 * mention.start + 1).join(""));
    const judged = mention.right === undefined ? "" : mention.right ? " ✓" : " ✗";
    const score = withScores ? ` ${percent(mention.score)}` : "";
    const element = make("mark", { class: `${colour(mention.type)}${mention.right === false ? " off" : ""}` });
    element.dataset.mention = spans([mention]);
    const spoken = judged && make("span", { class: "unseen" }, mention.right ? ", right" : ", wrong");
    const sign = judged && make("span", { "aria-hidden": "true" }, judged);
    // Gold mentions may overlap: each word is written once.
    put(element, bdi(parts.slice(Math.max(position, 2 * mention.start + 1), 2 * mention.end).join("")), " ");
    const part = mention.partial ? " (part of a word)" : "";
    put(element, make("small", {}, bdi(mention.type), part, sign, spoken, score.trimEnd()));
    if (mention.score !== undefined) element.title = `${mention.type} ${percent(mention.score)}`;
    if (mention.boxes && mention.boxes.length) lightBoxes(element, mention, withScores);
    put(line, element);
    position = Math.max(position, 2 * mention.end);
  }
  return inItsLanguage(put(line, parts.slice(position).join("")));
}

// While a mention is pointed at or has the focus, its boxes are lit on the picture beside it.
function lightBoxes(element, mention, reachable) {
  if (mention.why) element.title += `; ${mention.why}, ${percent(mention.visible)}`;
  element.classList.add("boxed");
  if (reachable) element.tabIndex = 0;
  let lit = null;
  const light = () => {
    const svg = element.closest("article, #detail-body").querySelector(".shot svg");
    if (!svg || lit) return;
    const places = mention.boxes.map(([x0, y0, x1, y1]) => ({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 }));
    lit = draw("g", { class: "place" }, places.map((place) => draw("rect", place)));
    put(svg, lit);
  };
  const dim = () => {
    if (lit) lit.remove();
    lit = null;
  };
  for (const event of ["pointerenter", "focus"]) element.addEventListener(event, light);
  for (const event of ["pointerleave", "blur"]) element.addEventListener(event, dim);
}

const sameMentions = (a, b) => spans(a) === spans(b);
const spans = (mentions) => mentions.map((m) => `${m.start}-${m.end}-${m.type}${m.partial ? "-part" : ""}`).sort().join(" ");

// Views that say the same share a line, unless every line is wanted.
function says(entry, every) {
  const list = make("dl", { class: "says" });
  const answers = entry.answers || {};
  const lines = [];
  for (const view of telling.views.filter((name) => name in answers)) {
    const last = lines.at(-1);
    if (last && !every && sameMentions(last.mentions, answers[view])) {
      last.names.push(view);
      last.mentions = answers[view];
    } else lines.push({ names: [view], mentions: answers[view] });
  }
  if (!lines.length && (entry.parts || []).length) lines.push({ names: ["text"], mentions: [] });
  for (const { names, mentions } of lines) {
    const named = names.map((name) => (data.views || {})[name] || name.replaceAll(" ", "\u00a0"));
    put(list, make("dt", {}, named.join(" = ")), make("dd", {}, marked(entry, mentions, every)));
  }
  for (const [name, text] of entry.contexts || []) {
    put(list, make("dt", {}, make("span", { class: "unseen" }, "context "), CONTEXTS[name] || bdi(name)));
    const line = make("dd", { class: "context" }, bdi(text));
    line.dataset.context = name;
    put(list, line);
  }
  return list;
}

function verdict(entry) {
  const tags = entry.tags || [];
  const list = make("ul", { class: "verdict", "aria-label": "Verdict" });
  const [told, kind, text] = telling.verdicts.find(([tag]) => tags.includes(tag)) || [];
  if (told) put(list, make("li", { class: kind }, text));
  if (tags.includes("changed") && told === "wrong") put(list, make("li", {}, telling.changed));
  if (tags.includes("waiting")) put(list, make("li", {}, "… not yet processed by every stage"));
  const troubles = new Map();
  for (const { stage, reason } of (entry.found || {}).failed || []) {
    troubles.set(reason, [...(troubles.get(reason) || []), stage]);
  }
  for (const [reason, stages] of troubles) {
    put(list, make("li", { class: "failed" }, bdi(`⚠ ${stages.join(", ")}: ${reason}`)));
  }
  if (entry.split) put(list, make("li", {}, entry.split));
  if (entry.confidence !== undefined) put(list, make("li", {}, `lowest score ${percent(entry.confidence)}`));
  return list.children.length ? list : null;
}

function changes(entry) {
  const { [telling.before]: one, [telling.after]: other, gold } = entry.answers || {};
  if (!one || !other || sameMentions(one, other)) return null;
  const words = (m) => (entry.parts || []).slice(2 * m.start + 1, 2 * m.end).join("");
  const only = (some, others) => some.filter((m) => !others.some((o) => sameMentions([m], [o])));
  const item = (sign, m) => make("li", {}, `${sign} `, bdi(words(m)), " ", make("strong", {}, bdi(m.type)),
    gold ? (m.right ? " (right)" : " (wrong)") : "");
  const list = make("ul", {});
  put(list, only(one, other).map((m) => item(telling.said_before, m)));
  put(list, only(other, one).map((m) => item(telling.said_after, m)));
  return [make(data.switchable ? "h3" : "h4", {}, telling.title), list];
}

const items = (things) => make("ul", {}, things.map((thing) => make("li", {}, thing)));

function listed(title, things) {
  return things.length ? [make(data.switchable ? "h3" : "h4", {}, title), items(things)] : null;
}

// What was appended, and folded below it what was not.
function sorted(title, context, things, toldOf) {
  if (!things.length) return null;
  const told = data.switchable ? (thing) => switchInList(context, thing, toldOf(thing)) : toldOf;
  const rest = things.filter((thing) => thing.used === false);
  const used = things.filter((thing) => thing.used !== false);
  const count = make("summary", {}, `${rest.length} ${data.unused}`);
  const folded = make("details", {}, count, items(rest.map(told)));
  return [make(data.switchable ? "h3" : "h4", {}, title), used.length ? items(used.map(told)) : null, rest.length ? folded : null];
}

const scored = (text, score) => [bdi(text), " ", make("span", { class: "score" }, percent(score))];

function detail(entry) {
  const shown = [entry, ...(entry.more || [])];
  const left = make("div", {}, shown.map(largePicture));
  // Under the title of a report, and alone under that of the demo.
  const title = make(data.switchable ? "h2" : "h3", { id: "detail-title", tabindex: "-1" }, bdi(entry.id));
  const right = make("div", {}, title, verdict(entry), says(entry, true), changes(entry), worth(entry));
  for (const one of shown) put(right, shown.length > 1 ? make(data.switchable ? "h3" : "h4", {}, bdi(one.file || one.problem)) : null, findings(one));
  return joined(entry, [left, right]);
}

function largePicture(entry) {
  const found = entry.found || {};
  // A box says its score itself to a screen reader, so this line need not be read out.
  const told = make("output", { class: "told", "aria-live": "off" }, `Point at, tap or focus a box to see its score${data.switchable ? "; select it to switch it off" : ""}.`);
  const pixels = found.width ? `, ${found.width} × ${found.height} pixels` : "";
  return [
    frame(entry, told, true),
    pictures[entry.picture] !== undefined && found.width ? told : null,
    entry.file ? make("p", { class: "soft" }, bdi(entry.file), pixels) : null,
  ];
}

function findings(entry) {
  const found = entry.found || {};
  const from = found.caption_source ? [", from ", bdi(found.caption_source)] : [];
  const others = Object.entries(found.others || {});
  const ofObject = (thing) => [scored(thing.label, thing.score), (thing.attributes || []).map((a) => [" · ", scored(...a)])];
  return [
    sorted(make("span", {}, "Captions", from), "caption", found.captions || [], (caption) => scored(caption.text, caption.score)),
    sorted("Objects", "objects", found.objects || [], ofObject),
    sorted("Words in the picture", "ocr", found.words || [], (word) => scored(word.text, word.score)),
    listed("Other stages", others.map(([stage, text]) => [bdi(stage), ": ", make("code", {}, bdi(text))])),
    listed("Failed", (found.failed || []).map((t) => bdi(`${t.stage} (${t.kind}): ${t.reason}`))),
    listed("Not yet processed by", (found.waiting || []).map(bdi)),
  ];
}
