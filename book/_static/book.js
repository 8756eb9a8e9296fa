// Galleries of routed images: a slider over epochs, and gates under another k, temperature or noise.
// Everything that it shows at first is in the page without it.

for (const live of document.querySelectorAll(".forming > .live, .choices > .live")) live.hidden = false;

for (const forming of document.querySelectorAll(".forming")) {
  const first = JSON.parse(forming.dataset.first);  // [epoch][image]
  const boxes = forming.querySelectorAll(".box");
  const images = [...forming.querySelectorAll(".pool > .thumb")];
  const slider = forming.querySelector("input");
  const show = () => {
    forming.querySelector("output").value = slider.value;
    images.forEach((image, n) => boxes[first[slider.value - 1][n]].append(image));
  };
  slider.addEventListener("input", show);
  show();
}

for (const choices of document.querySelectorAll(".choices")) {
  const { k, bias, logits, noise } = JSON.parse(choices.dataset.gates);
  const rows = [...choices.querySelectorAll(".shares")];
  const set = { k, temperature: 0, noise: 0 };
  const words = { k: (v) => v, temperature: (v) => `×${+(2 ** v).toFixed(2)}`, noise: (v) => `×${v}` };
  let draws = [];

  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const draw = () => { draws = logits.map((row) => row.map(normal)); };
  const show = () => rows.forEach((row, n) => {
    const scores = logits[n].map((z, e) =>
      (z + (noise ? set.noise * noise[n][e] * draws[n][e] : 0)) / 2 ** set.temperature);
    const order = scores.map((_, e) => e).sort((a, b) => scores[b] + bias[b] - scores[a] - bias[a]);
    const kept = order.slice(0, set.k);
    const most = Math.max(...kept.map((e) => scores[e]));
    const mass = scores.map((z, e) => (kept.includes(e) ? Math.exp(z - most) : 0));
    const total = mass.reduce((sum, m) => sum + m, 0);
    [...row.children].forEach((part, e) => {
      part.style.flexGrow = mass[e] / total;
      part.hidden = mass[e] === 0;
    });
  });

  for (const input of choices.querySelectorAll("input")) input.addEventListener("input", () => {
    set[input.dataset.set] = +input.value;
    input.nextElementSibling.value = words[input.dataset.set](+input.value);
    show();
  });
  choices.querySelector("button")?.addEventListener("click", () => { draw(); show(); });
  draw();
  show();
}

// The verdicts: a choice of verdict and of study, of what stands in the first two columns.
for (const block of document.querySelectorAll(".filtered")) {
  const rows = [...block.querySelectorAll("tbody tr")];
  const text = (row, column) => row.cells[column].innerText.trim();
  const bar = document.createElement("div");
  bar.className = "live";
  const selects = ["study", "verdict"].map((name, column) => {
    const label = document.createElement("label"), select = document.createElement("select");
    const words = new Set(rows.map((row) => text(row, column)));
    for (const word of ["all", ...words]) select.add(new Option(word, word));
    label.append(`${name} `, select);
    bar.append(label);
    select.addEventListener("change", show);
    return select;
  });
  const count = bar.appendChild(document.createElement("output"));
  function show() {
    for (const row of rows) {
      row.hidden = selects.some(({ value }, column) => value !== "all" && value !== text(row, column));
    }
    count.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} verdicts`;
    for (const table of block.querySelectorAll("table")) {
      const empty = [...table.querySelectorAll("tbody tr")].every((row) => row.hidden);
      const part = table.closest(".pst-scrollable-table-container") ?? table;
      part.hidden = empty;
      for (let above = part.previousElementSibling; above?.tagName === "P"; above = above.previousElementSibling)
        above.hidden = empty;
    }
  }
  block.prepend(bar);
  if (rows.length) { selects[0].value = text(rows[0], 0); show(); }
}

// A table that goes on beyond its edge fades there.
for (const table of document.querySelectorAll("article table.table")) {
  const fade = () => table.classList.toggle("cut", table.scrollLeft + table.clientWidth < table.scrollWidth - 1);
  table.addEventListener("scroll", fade, { passive: true });
  new ResizeObserver(fade).observe(table);
}
