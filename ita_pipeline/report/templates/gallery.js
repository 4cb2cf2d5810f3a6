"use strict";
// Draws the gallery from the page's data. What a post, a picture or a file said reaches the page as text nodes and
// attribute values only. The address behind # is the state: filters, page, and the entry that is open.
(() => {
  const PER_PAGE = 24;
  const VIEWS = ["gold", "T", "I+T"];
  const CHOOSERS = ["show", "type", "split", "stage", "sort"];
  const FIRST = { show: "all", sort: undefined };
  const SVG = "http://www.w3.org/2000/svg";

  const data = JSON.parse(document.getElementById("data").textContent);
  const entries = data.entries || [];
  const pictures = data.pictures || {};
  const types = data.types || [];
  const at = (id) => document.getElementById(id);
  const byAnchor = new Map(entries.map((entry) => [entry.anchor, entry]));
  FIRST.sort = data.order;

  // ---- making elements ---------------------------------------------------------------------------------------

  function put(parent, ...children) {
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== "") parent.append(child);
    }
    return parent;
  }

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    return put(element, ...children);
  }

  function draw(name, attributes, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return put(element, ...children);
  }

  const bdi = (text) => make("bdi", {}, text);
  const percent = (score) => (score === undefined || score === null ? "" : `${(100 * score).toFixed(0)} %`);

  // ---- the state, which is the address ------------------------------------------------------------------------

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

  // ---- choosing ------------------------------------------------------------------------------------------------

  function haystack(entry) {
    if (entry.haystack === undefined) {
      const found = entry.found || {};
      const texts = [entry.id, entry.file, (entry.parts || []).join(""), ...(entry.contexts || [])];
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

  // ---- the picture and what was found in it ---------------------------------------------------------------------

  function saidOfObject(object) {
    const attributes = (object.attributes || []).map(([label, score]) => `${label} ${percent(score)}`);
    const unused = object.used === false ? `; ${data.unused}` : "";
    return `${object.label} ${percent(object.score)}${attributes.length ? ` (${attributes.join(", ")})` : ""}${unused}`;
  }

  const saidOfWord = (word) => `word “${word.text}” ${percent(word.score)}${word.used === false ? `; ${data.unused}` : ""}`;

  function frame(entry, told, reachable) {
    const source = pictures[entry.picture];
    if (!source) return make("div", { class: "frame" }, make("p", { class: "none" }, bdi(entry.problem || "no picture")));
    const found = entry.found || {};
    const caption = (found.captions || [])[0];
    const name = `Picture of ${entry.id}${caption ? `: ${caption.text}` : ""}`;
    const size = found.width ? { width: found.width, height: found.height } : {};
    const lazy = source.startsWith("data:") ? {} : { loading: "lazy" };
    const image = make("img", { src: source, alt: name, decoding: "async", ...size, ...lazy });
    const shot = make("div", { class: "shot" }, image);
    if (reachable && found.width) shot.style.maxWidth = `min(100%, 40rem, ${(75 * found.width) / found.height}dvh)`;
    if (found.width) put(shot, overlay(found, told, reachable));
    image.addEventListener("error", () => {
      shot.replaceWith(make("p", { class: "none" }, "The folder of thumbnails is not beside this page."));
    });
    return make("div", { class: "frame" }, shot);
  }

  function overlay(found, told, reachable) {
    const { width, height } = found;
    const box = { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" };
    const label = reachable ? { role: "group", "aria-label": "What was found in the picture" } : { "aria-hidden": "true" };
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

  // Objects with their attributes, the surest first; one that would lie on another is left out, and is told when pointed at.
  function labels(objects, found, reachable) {
    const size = letterSize(found, reachable);
    const group = draw("g", { class: "labels", "aria-hidden": "true" });
    const taken = [];
    for (const thing of [...objects].sort((a, b) => b.score - a.score)) {
      const [x0, y0, x1] = thing.box;
      const name = thing.tag || thing.label;
      const length = size * 0.6 * name.length;
      // A label at the right edge runs to the left, so that it stays on the picture.
      const turned = x0 + length > found.width;
      const end = Math.min(x1, found.width) - size * 0.2;
      const left = turned ? end - length : x0 + size * 0.2;
      const top = Math.max(y0, 0);
      if (taken.some(([x, y, wide]) => Math.abs(y - top) < size && left < x + wide && x < left + length)) continue;
      taken.push([left, top, length]);
      const anchor = turned ? { x: end, "text-anchor": "end" } : { x: left };
      const text = draw("text", { ...anchor, y: top + size }, name);
      text.style.fontSize = `${size}px`;
      text.style.strokeWidth = `${size / 6}px`;
      put(group, text);
    }
    return group;
  }

  function mark(kind, thing, told, reachable) {
    const [x0, y0, x1, y1] = thing.box;
    const place = { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) };
    const said = kind === "object" ? saidOfObject(thing) : saidOfWord(thing);
    const group = draw("g", { class: `mark ${kind}${thing.used === false ? " unused" : ""}` });
    if (reachable) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "img");
      group.setAttribute("aria-label", said);
    }
    put(group, draw("rect", { ...place, class: "halo" }), draw("rect", { ...place, class: "edge" }));
    const tell = () => { told.textContent = said; };
    const hush = () => { told.textContent = ""; };
    for (const event of ["pointerenter", "pointerdown", "focus"]) group.addEventListener(event, tell);
    for (const event of ["pointerleave", "blur"]) {
      group.addEventListener(event, (happened) => { if (happened.pointerType !== "touch") hush(); });
    }
    return group;
  }

  // ---- the post and what was said of it ---------------------------------------------------------------------------

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
      const spoken = judged && make("span", { class: "unseen" }, mention.right ? ", right" : ", wrong");
      const sign = judged && make("span", { "aria-hidden": "true" }, judged);
      put(element, bdi(parts.slice(2 * mention.start + 1, 2 * mention.end).join("")));
      put(element, make("small", {}, bdi(mention.type), sign, spoken, score.trimEnd()));
      if (mention.score !== undefined) element.title = `${mention.type} ${percent(mention.score)}`;
      put(line, element);
      position = 2 * mention.end;
    }
    return put(line, parts.slice(position).join(""));
  }

  const sameMentions = (a, b) => spans(a) === spans(b);
  const spans = (mentions) => mentions.map((m) => `${m.start}-${m.end}-${m.type}`).sort().join(" ");

  // Views that say the same share a line, unless every line is wanted.
  function says(entry, every) {
    const list = make("dl", { class: "says" });
    const answers = entry.answers || {};
    const lines = [];
    for (const view of VIEWS.filter((name) => name in answers)) {
      const last = lines.at(-1);
      if (last && !every && sameMentions(last.mentions, answers[view])) {
        last.names.push(view);
        last.mentions = answers[view];
      } else lines.push({ names: [view], mentions: answers[view] });
    }
    if (!lines.length && (entry.parts || []).length) lines.push({ names: ["text"], mentions: [] });
    for (const { names, mentions } of lines) {
      put(list, make("dt", {}, names.join(" = ")), make("dd", {}, marked(entry, mentions, every)));
    }
    for (const context of entry.contexts || []) {
      put(list, make("dt", {}, make("span", { "aria-hidden": "true" }, "+"), make("span", { class: "unseen" }, "context")));
      put(list, make("dd", { class: "context" }, bdi(context)));
    }
    return list;
  }

  // The first that fits says it best.
  const VERDICTS = [
    ["helped", "right", "✓ right with the picture only"],
    ["harmed", "wrong", "✗ wrong with the picture only"],
    ["right", "right", "✓ right"],
    ["wrong", "wrong", "✗ wrong"],
  ];

  function verdict(entry) {
    const tags = entry.tags || [];
    const list = make("ul", { class: "verdict", "aria-label": "Verdict" });
    const [told, kind, text] = VERDICTS.find(([tag]) => tags.includes(tag)) || [];
    if (told) put(list, make("li", { class: kind }, text));
    if (tags.includes("changed") && told === "wrong") put(list, make("li", {}, "changed by the picture"));
    if (tags.includes("waiting")) put(list, make("li", {}, "… a stage has not looked yet"));
    const troubles = new Map();
    for (const { stage, reason } of (entry.found || {}).failed || []) {
      troubles.set(reason, [...(troubles.get(reason) || []), stage]);
    }
    for (const [reason, stages] of troubles) {
      put(list, make("li", { class: "failed" }, bdi(`⚠ ${stages.join(", ")}: ${reason}`)));
    }
    if (entry.split) put(list, make("li", {}, entry.split));
    if (entry.confidence !== undefined) put(list, make("li", {}, `lowest score ${percent(entry.confidence)}`));
    return list;
  }

  function card(entry) {
    const told = make("output", { class: "told" });
    const heading = make("h3", {}, make("a", { href: address({ ...readState(), post: entry.anchor }) }, bdi(entry.id)));
    const article = make("article", { class: "card", id: `card-${entry.anchor}` }, frame(entry, told, false), told);
    return put(article, make("div", { class: "body" }, heading, verdict(entry), says(entry, false)));
  }

  // ---- one entry, all of it -----------------------------------------------------------------------------------------

  function changes(entry) {
    const { T: text, "I+T": both, gold } = entry.answers || {};
    if (!text || !both || sameMentions(text, both)) return null;
    const words = (m) => (entry.parts || []).slice(2 * m.start + 1, 2 * m.end).join("");
    const only = (some, others) => some.filter((m) => !others.some((o) => sameMentions([m], [o])));
    const item = (sign, m) => make("li", {}, `${sign} `, bdi(words(m)), " ", make("strong", {}, bdi(m.type)),
      gold ? (m.right ? ", which is right" : ", which is wrong") : "");
    const list = make("ul", {});
    put(list, only(text, both).map((m) => item("the text alone said", m)));
    put(list, only(both, text).map((m) => item("with the picture it says", m)));
    return [make("h4", {}, "What the picture changed"), list];
  }

  const items = (things) => make("ul", {}, things.map((thing) => make("li", {}, thing)));

  function listed(title, things) {
    return things.length ? [make("h4", {}, title), items(things)] : null;
  }

  // What was appended, and folded below it what was not.
  function sorted(title, things, told) {
    if (!things.length) return null;
    const rest = things.filter((thing) => thing.used === false);
    const used = things.filter((thing) => thing.used !== false);
    const folded = rest.length ? make("details", {}, make("summary", {}, `${rest.length} ${data.unused}`), items(rest.map(told))) : null;
    return [make("h4", {}, title), used.length ? items(used.map(told)) : null, folded];
  }

  const scored = (text, score) => [bdi(text), " ", make("span", { class: "score" }, percent(score))];

  function detail(entry) {
    const found = entry.found || {};
    const pictured = pictures[entry.picture] !== undefined;
    const told = make("output", { class: "told" }, "Point at a box, tap it or move to it for its score.");
    const left = make("div", {}, frame(entry, told, true));
    if (pictured && found.width) put(left, told);
    if (entry.file) put(left, make("p", { class: "soft" }, bdi(entry.file), found.width ? `, ${found.width} × ${found.height} pixels` : ""));
    const right = make("div", {}, make("h3", { id: "detail-title", tabindex: "-1" }, bdi(entry.id)), verdict(entry), says(entry, true));
    const from = found.caption_source ? [", from ", bdi(found.caption_source)] : [];
    const ofObject = (thing) => [scored(thing.label, thing.score), (thing.attributes || []).map((a) => [" · ", scored(...a)])];
    put(
      right,
      changes(entry),
      sorted(make("span", {}, "Captions", from), found.captions || [], (caption) => scored(caption.text, caption.score)),
      sorted("Objects", found.objects || [], ofObject),
      sorted("Words in the picture", found.words || [], (word) => scored(word.text, word.score)),
      listed("Other stages", Object.entries(found.others || {}).map(([stage, text]) => [bdi(stage), ": ", make("code", {}, bdi(text))])),
      listed("Failed", (found.failed || []).map((trouble) => bdi(`${trouble.stage} (${trouble.kind}): ${trouble.reason}`))),
      listed("Not looked at yet by", (found.waiting || []).map(bdi)),
    );
    return [left, right];
  }

  // ---- showing the state ------------------------------------------------------------------------------------------------

  const dialog = at("detail");
  let shownPage = "";
  let opened = "";

  function show() {
    const state = readState();
    choose(state);
    if (state.post && !chosen.some((entry) => entry.anchor === state.post)) {
      // A link to an entry outlives the filters that it was made under.
      location.replace(address({ post: state.post }));
      return;
    }
    for (const name of CHOOSERS) if (at(name)) at(name).value = state[name];
    if (document.activeElement !== at("find")) at("find").value = state.find;
    if (state.post) state.page = 1 + Math.floor(chosen.findIndex((entry) => entry.anchor === state.post) / PER_PAGE);
    showPage(state);
    showDetail(state);
  }

  function showPage(state) {
    const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
    const page = Math.min(state.page, pages);
    const drawn = ["draw-objects", "draw-words", "draw-unused"].map((id) => at(id).checked).join();
    const wanted = `${chosenFor} ${page} ${drawn}`;
    if (wanted === shownPage) return;
    shownPage = wanted;
    at("cards").replaceChildren(...chosen.slice((page - 1) * PER_PAGE, page * PER_PAGE).map(card));
    const of = chosen.length === entries.length ? "" : ` of ${entries.length}`;
    at("count").textContent = `${chosen.length}${of} ${data.what}${pages > 1 ? `, page ${page} of ${pages}` : ""}`;
    at("pager").hidden = pages === 1;
    at("page-number").value = page;
    at("page-number").max = pages;
    at("page-count").textContent = pages;
    at("page-back").disabled = page === 1;
    at("page-on").disabled = page === pages;
  }

  function showDetail(state) {
    if (!state.post) {
      const last = opened;
      opened = "";
      if (dialog.open) dialog.close();
      const link = last && document.querySelector(`#card-${CSS.escape(last)} h3 a`);
      if (link) link.focus();
      return;
    }
    const place = chosen.findIndex((entry) => entry.anchor === state.post);
    opened = state.post;
    at("place").textContent = `${place + 1} of ${chosen.length}`;
    at("previous").disabled = place === 0;
    at("next").disabled = place === chosen.length - 1;
    at("detail-body").replaceChildren(...detail(chosen[place]));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    at("detail-title").focus({ preventScroll: true });
  }

  function step(by) {
    const state = readState();
    if (!chosen.length) return;
    const place = state.post ? chosen.findIndex((entry) => entry.anchor === state.post) + by : (Math.max(1, state.page) - 1) * PER_PAGE;
    if (place >= 0 && place < chosen.length) go({ post: chosen[place].anchor, page: 1 }, !state.post);
  }

  function closeDetail() {
    const state = readState();
    const place = chosen.findIndex((entry) => entry.anchor === state.post);
    if (state.post) go({ post: "", page: 1 + Math.floor(Math.max(0, place) / PER_PAGE) }, false);
  }

  function turnTo(page) {
    const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
    go({ page: Math.min(Math.max(1, Math.round(page)), pages) }, true);
    at("gallery").scrollIntoView();
  }

  for (const name of CHOOSERS) {
    if (at(name)) at(name).addEventListener("change", () => go({ [name]: at(name).value, page: 1, post: "" }, false));
  }
  let typing = 0;
  at("find").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => go({ find: at("find").value, page: 1, post: "" }, false), 150);
  });
  for (const id of ["draw-objects", "draw-words", "draw-unused"]) at(id).addEventListener("change", show);
  at("page-back").addEventListener("click", () => turnTo(readState().page - 1));
  at("page-on").addEventListener("click", () => turnTo(readState().page + 1));
  at("page-number").addEventListener("change", () => turnTo(at("page-number").valueAsNumber || 1));
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("close").addEventListener("click", closeDetail);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeDetail(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDetail(); });

  const KEYS = { ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1) };
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest && event.target.closest("input, select, textarea, .scroll");
    if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !dialog.open) {
      event.preventDefault();
      at("find").focus();
    } else if (KEYS[event.key]) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  window.addEventListener("hashchange", show);
  show();
})();
