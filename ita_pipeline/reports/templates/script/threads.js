// Threads between a mention and its evidence: what says the same, and what the mention's probability depends on.

const SHORTEST = 3;

const plain = (text) => text.normalize("NFKC").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter((word) => word.length >= SHORTEST);

// Every end of a thread: the element, what a screen reader says of it, and the mentions that it belongs to.
function joined(entry, columns) {
  const answers = entry.answers || {};
  const mentions = answers[telling.after] || answers[telling.before] || [];
  const shown = [entry, ...(entry.more || [])];
  const ends = shown.flatMap((one) => endsOf(one.found || {}));
  const lines = columns.flatMap((column) => Array.from(column.querySelectorAll("dd.context bdi")));
  for (const mention of mentions) {
    const key = spans([mention]);
    const marks = columns.flatMap((column) => Array.from(column.querySelectorAll("mark"))).filter((one) => one.dataset.mention === key);
    if (!marks.length) continue;
    const words = new Set(plain(wordsOf(entry, mention)));
    const evidence = ends.filter((end) => end.words.some((word) => words.has(word)) || decides(entry, mention, end));
    const echoes = lines.flatMap((line) => echo(line, words));
    tie(marks, [...evidence.map((end) => ({ element: end.element, text: end.text })), ...echoes], wordsOf(entry, mention), mention.type);
  }
  return columns;
}

function endsOf(found) {
  const ends = [];
  const add = (context, thing, text) => {
    const element = drawnMarks.get(thing);
    if (element && thing.used !== false && !(data.switchable && isOff(context, thing))) ends.push({ context, piece: thing.piece, element, text, words: plain(text) });
  };
  for (const thing of found.objects || []) add("objects", thing, thing.tag || thing.label);
  for (const thing of found.words || []) add("ocr", thing, thing.text);
  return ends;
}

// Whether the mention's probability depends clearly on the part that this end belongs to.
function decides(entry, mention, end) {
  const explanation = entry.explanation;
  if (!explanation || end.piece === undefined) return false;
  const index = explanation.mentions.findIndex((one) => sameMentions([one], [mention]));
  return index >= 0 && explanation.without.some((part) =>
    part.text && part.context === end.context && part.pieces.includes(end.piece) &&
    Math.abs(moveOf(explanation, part, index)) >= DECISIVE_MOVE);
}

// The words of a context's line that a mention has too, as elements of their own.
function echo(line, words) {
  const found = [];
  for (const node of Array.from(line.childNodes)) {
    if (node.nodeType !== Node.TEXT_NODE) {
      if (node.matches(".echo") && plain(node.dataset.text).some((word) => words.has(word))) found.push({ element: node, text: node.dataset.text });
      continue;
    }
    const pieces = node.textContent.split(/(\s+)/).map((piece) => {
      if (!plain(piece).some((word) => words.has(word))) return piece;
      const element = make("span", { class: "echo" }, piece);
      element.dataset.text = piece;
      found.push({ element, text: piece });
      return element;
    });
    if (pieces.some((piece) => typeof piece !== "string")) node.replaceWith(...pieces);
  }
  return found;
}

// Joins all marks of a mention with all pieces of its evidence: who points at or focuses one end sees the others.
function tie(marks, evidence, words, type) {
  if (!evidence.length) return;
  const texts = [...new Set(evidence.map((end) => end.text))].slice(0, 4).join(", ");
  for (const one of marks) {
    put(one, make("span", { class: "unseen" }, `, evidence in the picture: ${texts}`));
    thread(one, [one], evidence.map((end) => end.element));
  }
  for (const { element } of evidence) {
    const said = `evidence for ${words}, ${type}`;
    if (element.hasAttribute("aria-label")) element.setAttribute("aria-label", `${element.getAttribute("aria-label")}; ${said}`);
    else put(element, make("span", { class: "unseen" }, ` (${said})`));
    thread(element, marks.slice(-1), [element]);
  }
}

function thread(element, from, to) {
  if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "0");
  element.classList.add("tied");
  const show = () => { for (const one of from) for (const other of to) line(one, other); };
  for (const event of ["pointerenter", "focus"]) element.addEventListener(event, show);
  for (const event of ["pointerleave", "blur"]) element.addEventListener(event, cut);
}

function cut() {
  for (const one of document.querySelectorAll(".threads")) one.remove();
  for (const one of document.querySelectorAll(".lit")) one.classList.remove("lit");
}

// A line between the near edges of two elements, over everything that is in the detail.
function line(from, to) {
  const ground = at("detail-body");
  const origin = ground.getBoundingClientRect();
  const [a, b] = [from, to].map((one) => one.getBoundingClientRect());
  const middle = (box) => [box.left + box.width / 2 - origin.left, box.top + box.height / 2 - origin.top];
  const [[ax, ay], [bx, by]] = [middle(a), middle(b)];
  const edge = (box, x, y, towards) => (Math.abs(towards - x) > box.width / 2 ? [x + Math.sign(towards - x) * (box.width / 2), y] : [x, y]);
  const [x0, y0] = edge(a, ax, ay, bx);
  const [x1, y1] = edge(b, bx, by, ax);
  const bend = (x1 - x0) / 2;
  const path = `M ${x0} ${y0} C ${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`;
  put(ground, draw("svg", { class: "threads", "aria-hidden": "true" },
    draw("path", { d: path, class: "under" }), draw("path", { d: path }), draw("circle", { cx: x1, cy: y1, r: 4 })));
  from.classList.add("lit");
  to.classList.add("lit");
}
