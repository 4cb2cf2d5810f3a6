// How the probability of each mention moves without each part of the contexts.

const SMALL_MOVE = 0.01;
const CLEAR_MOVE = 0.05;
const DECISIVE_MOVE = 0.1;
const OPEN_PARTS = 8;

const wordsOf = (entry, mention) => (entry.parts || []).slice(2 * mention.start + 1, 2 * mention.end).join("");
const moveOf = (explanation, part, index) => part.scores[index] - explanation.mentions[index].score;
const largestMove = (explanation, part) =>
  Math.max(0, ...part.scores.map((_, index) => Math.abs(moveOf(explanation, part, index))));

function partName(part) {
  if (!part.context) return "any context";
  if (!part.text) return `all ${CONTEXTS[part.context] || part.context}`;
  return make("em", {}, bdi(part.text));
}

// The part whose absence moves the probability of a mention that was found most, in one line.
function strongest(entry) {
  const explanation = entry.explanation;
  if (!explanation) return null;
  let most = null;
  for (const part of explanation.without || []) {
    explanation.mentions.forEach((mention, index) => {
      const move = Math.abs(moveOf(explanation, part, index));
      if (mention.found === false || !part.text || move < CLEAR_MOVE || (most && most.move >= move)) return;
      most = { move, part, mention, score: part.scores[index] };
    });
  }
  if (!most) return null;
  const moved = `${percent(most.mention.score)} → ${percent(most.score)}`;
  const type = make("strong", { class: colour(most.mention.type) }, bdi(most.mention.type));
  return make("p", { class: "strongest" }, "without ", partName(most.part), ": ", type, ` ${moved}`);
}

// One row for each part, one column for each mention; all contexts first, and then the largest move.
function worth(entry) {
  const explanation = entry.explanation;
  if (!explanation || !explanation.without || !explanation.mentions.length) return null;
  const [all, ...others] = explanation.without;
  const moving = others.filter((part) => largestMove(explanation, part) >= SMALL_MOVE);
  moving.sort((a, b) => largestMove(explanation, b) - largestMove(explanation, a));
  const head = explanation.mentions.map((mention) => {
    const type = make("strong", { class: colour(mention.type) }, bdi(mention.type));
    return make("th", { scope: "col" }, bdi(wordsOf(entry, mention)), " ", type);
  });
  const row = (name, scores, explained) =>
    make("tr", {}, make("th", { scope: "row" }, name), scores.map((score, index) => {
      const from = explanation.mentions[index].score;
      const kind = Math.abs(score - from) < CLEAR_MOVE ? "" : score < from ? "less" : "more";
      return make("td", kind && explained ? { class: kind } : {}, percent(score));
    }));
  const body = make("tbody", {},
    row("with all contexts", explanation.mentions.map((mention) => mention.score), false),
    [all, ...moving.slice(0, OPEN_PARTS)].map((part) => row(["without ", partName(part)], part.scores, true)));
  const still = others.length - Math.min(moving.length, OPEN_PARTS);
  const rest = still ? `${still} other part${still === 1 ? " moves" : "s move"} the probabilities less.` : "";
  const table = make("table", { class: "worth" }, make("thead", {}, make("tr", {}, make("td", {}), head)), body);
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Probabilities without each part" }, table);
  return [make(data.switchable ? "h3" : "h4", {}, "What each part is worth"), scroll, rest ? make("p", { class: "soft" }, rest) : null];
}
