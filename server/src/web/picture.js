// A small picture of the last day: four rows of bars, an hour each, with the same as a table for those who read it.

import { fill, make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const ROWS = [
  ["signed_in", "Log-ins"],
  ["refreshed", "Refreshes"],
  ["refused", "Refusals"],
  ["reused", "Reuse"],
];

/** Fills a figure with what the hours say, oldest first. */
export function draw(figure, { users, sessions, hours }) {
  const total = (name) => hours.reduce((sum, hour) => sum + hour[name], 0);
  const totals = ROWS.map(([name, label]) => `${label.toLowerCase()}: ${total(name)}`).join(", ");
  const caption = make(
    "figcaption",
    {},
    make("b", {}, "The last day"),
    ` ${users} users, ${sessions} sessions; ${totals}`,
  );
  const rows = ROWS.map(([name, label]) =>
    make("div", { class: `day ${name}` }, make("span", {}, label), make("b", {}, total(name)), bars(hours, name)),
  );
  const axis = make(
    "div",
    { class: "day hint" },
    make("span"),
    make("b"),
    make("span", { class: "axis" }, "24 hours ago", make("span", {}, "now")),
  );
  axis.setAttribute("aria-hidden", "true");
  const table = make("table", {}, make("caption", {}, "The last day by the hour"));
  const cells = hours.map((hour) => [clock(hour.start), ...ROWS.map(([name]) => hour[name])]);
  fill(table, ["From", ...ROWS.map(([, label]) => label)], cells, "");
  figure.replaceChildren(caption, ...rows, axis, make("details", {}, make("summary", {}, "As a table"), table));
}

/** Bars as high as their row's highest, each with its number under the pointer. */
function bars(hours, name) {
  const highest = Math.max(1, ...hours.map((hour) => hour[name]));
  const svg = shape("svg", { viewBox: `0 0 ${hours.length} 10`, preserveAspectRatio: "none", "aria-hidden": "true" });
  hours.forEach((hour, at) => {
    const height = (10 * hour[name]) / highest;
    const bar = shape("rect", { x: at + 0.1, y: 10 - height, width: 0.8, height });
    bar.append(shape("title", {}, `from ${clock(hour.start)}: ${hour[name]}`));
    svg.append(bar);
  });
  return svg;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const clock = (secs) => new Date(secs * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
