import { $, figure, make } from "./dom.js";
import { data } from "./data.js";

// Agreement with labels at a threshold that a slider moves.
if (data.curve.length && $("cut")) {
  const { yes, no } = data.labels, n = yes + no;
  const kappas = data.curve.map(([, both, wrongly]) => kappa(both, wrongly));
  function kappa(both, wrongly) {
    const passed = both + wrongly, agreed = both + no - wrongly, byChance = (passed * yes + (n - passed) * no) / n;
    return byChance === n ? null : (agreed - byChance) / (n - byChance);
  }
  const spot = make("line", { class: "mark", y1: 0, y2: 100 });
  const heights = kappas.map(k => 100 - Math.max(0, k ?? 0) * 100);
  const across = i => data.curve.length < 2 ? 50 : i / (data.curve.length - 1) * 100;  // as the slider above it
  $("kappas").append(make("polyline", { class: "line", points: heights.map((y, i) => `${across(i)},${y}`).join(" ") }), spot);
  const show = () => {
    const i = +$("cut").value, [threshold, both, wrongly] = data.curve[i];
    const cells = { both, wrongly, missed: yes - both, neither: no - wrongly };
    for (const [id, count] of Object.entries(cells)) $(id).textContent = count.toLocaleString("en");
    $("cut-at").textContent = figure(threshold);
    $("agreed").textContent = ((both + no - wrongly) / n * 100).toFixed(1) + " %";
    $("kappa").textContent = figure(kappas[i]);
    spot.setAttribute("x1", across(i)); spot.setAttribute("x2", across(i));
  };
  $("cut").addEventListener("input", show);
  $("cut-reset").addEventListener("click", () => { $("cut").value = data.cut; show(); });
  show();
}
