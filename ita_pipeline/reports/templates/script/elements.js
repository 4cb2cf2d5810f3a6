// The page's data, and elements made of them. What a post, a picture or a file said reaches the page as text nodes
// and attribute values only.

const SVG = "http://www.w3.org/2000/svg";

const data = JSON.parse(document.getElementById("data").textContent);
const entries = data.entries || [];
const pictures = data.pictures || {};
const types = data.types || [];
const at = (id) => document.getElementById(id);

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
