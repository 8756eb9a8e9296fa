// Texts of a page that stand out too little from what is behind them (WCAG 2.1, AA), by their place.
() => {
  const channels = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    const unit = colour.startsWith("color(") ? 255 : 1; // as color-mix gives them
    return [unit * r, unit * g, unit * b, a];
  };
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const over = (top, base) => [0, 1, 2].map((i) => top[i] * top[3] + base[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(channels(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((base, top) => over(top, base), [255, 255, 255, 1]);
  };
  const pale = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode, element = text.parentElement;
    if (!text.textContent.trim() || element.closest("script, style, noscript, mjx-assistive-mml")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const { width, height } = range.getBoundingClientRect();
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const svg = element.closest("svg");
    if (width < 1 || height < 1 || size === 0 || (svg && style.fill === "none")) continue;
    const colour = channels(svg ? style.fill : style.color);
    for (let e = element; e; e = e.parentElement) colour[3] *= getComputedStyle(e).opacity;
    const backdrop = ground(svg ? svg.parentElement : element);
    const [low, high] = [luminance(over(colour, backdrop)), luminance(backdrop)].sort((a, b) => a - b);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) pale[text.textContent.trim().slice(0, 40)] = ratio;
  }
  return pale;
}
