// A post as a card of the gallery.

function card(entry) {
  const told = make("output", { class: "told", "aria-live": "off" });
  const heading = make("h3", {}, make("a", { href: address({ ...readState(), post: entry.anchor }) }, bdi(entry.id)));
  const article = make("article", { class: "card", id: `card-${entry.anchor}`, "aria-label": entry.id });
  put(article, frame(entry, told, false), pictures[entry.picture] ? told : null);
  return put(article, make("div", { class: "body" }, heading, verdict(entry), says(entry, false), strongest(entry)));
}
