import { $, figure, make, visible } from "./dom.js";
import { data } from "./data.js";
import { measured } from "./rows.js";

// Two numbers of the page's rows against each other. A point stands for the rows whose two values are nearly the same.
if ($("scatter")) {
  const GRID = 40, name = key => visible($("across").querySelector(`[value="${key}"]`).textContent);
  const part = (value, low, high) => high > low ? (value - low) / (high - low) : 0.5;

  const plot = () => {
    const x = $("across").value, y = $("up").value;
    const known = data.rows.map(row => ({ row, x: measured(row, x), y: measured(row, y) })).filter(one => one.x !== null && one.y !== null);
    const ends = key => [Math.min(...known.map(one => one[key])), Math.max(...known.map(one => one[key]))];
    const [left, right] = ends("x"), [low, high] = ends("y");
    const points = new Map();
    for (const one of known) {
      const key = [part(one.x, left, right), part(one.y, low, high)].map(at => Math.round(at * GRID)).join();
      if (points.has(key)) points.get(key).push(one); else points.set(key, [one]);
    }
    const most = Math.max(1, ...[...points.values()].map(some => some.length));
    $("scatter").replaceChildren(
      make("line", { class: "base", x1: 0, x2: 100, y1: 100, y2: 100 }), make("line", { class: "base", x1: 0, x2: 0, y1: 0, y2: 100 }),
      ...[...points].map(([key, some]) => {
        const [across, up] = key.split(",").map(at => at / GRID * 100);
        const about = `${name(x)} ${figure(some[0].x)}, ${name(y)} ${figure(some[0].y)}: ${some.length === 1 ? "row" : some.length + " rows, one of them"} ${visible(some[0].row.id)}`;
        const open = () => { location.hash = "row=" + encodeURIComponent(some[0].row.id); };
        return make("circle", { class: "spot", cx: across, cy: 100 - up, r: 1.2 + 2.3 * Math.sqrt(some.length / most), click: open }, make("title", {}, about));
      }));
    $("scatter").setAttribute("aria-label", `${name(y)} against ${name(x)}: ${known.length} rows at ${points.size} places`);
    $("ends").textContent = known.length ? `${name(x)} from ${figure(left)} to ${figure(right)}; ${name(y)}, upwards, from ${figure(low)} to ${figure(high)}` : "no row has both";
  };

  for (const axis of ["across", "up"]) $(axis).addEventListener("change", plot);
  plot();
  $("members").hidden = false;
}
