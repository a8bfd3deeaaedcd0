"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Colours: as the system has them, or as the reader chooses; a file may not be allowed to remember it.
  const themes = ["automatic", "light", "dark"];
  const button = document.getElementById("theme");
  const remember = (name) => { try { localStorage.setItem("tunekit-colours", name); } catch { /* not here */ } };
  const remembered = () => { try { return localStorage.getItem("tunekit-colours"); } catch { return null; } };
  const show = (name) => {
    if (name === "automatic") delete root.dataset.theme; else root.dataset.theme = name;
    button.textContent = `Colours: ${name}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "automatic";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
    remember(theme);
  });

  // A narrow page begins with its contents and not with a list of them.
  if (matchMedia("(max-width: 69.99rem)").matches) document.getElementById("chapters").open = false;

  // Only what scrolls needs a place in the order of the keyboard.
  const regions = [...document.querySelectorAll(".scroll")];
  const focusable = () => regions.forEach((region) => {
    if (region.scrollWidth > region.clientWidth + 1) region.tabIndex = 0; else region.removeAttribute("tabindex");
  });
  focusable();
  addEventListener("resize", focusable);
  document.addEventListener("toggle", focusable, true);

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const each of document.querySelectorAll(".copy")) {
    const label = each.firstChild;
    each.addEventListener("click", async () => {
      await copy(document.getElementById(each.dataset.copies).textContent);
      label.textContent = "Copied";
      setTimeout(() => { label.textContent = "Copy"; }, 2000);
    });
  }

  // On paper the configurations are open, and then as they were.
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll(".card details:not([open])")) { each.open = true; closed.push(each); }
  });
  addEventListener("afterprint", () => closed.splice(0).forEach((each) => { each.open = false; }));

  // Pictures.
  const packed = document.getElementById("plotly");
  const plots = [...document.querySelectorAll(".plot")];
  if (!packed || !plots.length) return;

  const unpacked = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  const font = { family: "system-ui, sans-serif", size: 12, color: "#57606a" };
  const axis = { gridcolor: "#d0d7de", zeroline: false, automargin: true, ticks: "", fixedrange: true };
  const look = {
    autosize: true, font, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
    margin: { l: 56, r: 16, t: 16, b: 52 }, hovermode: "closest", xaxis: axis, yaxis: axis,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal", title: { text: "" } },
  };
  const config = { displayModeBar: false, responsive: true, displaylogo: false, showTips: false };
  const draw = (plot) => {
    const told = JSON.parse(document.getElementById(plot.dataset.of).textContent);
    told.layout.template = { layout: look };
    Plotly.newPlot(plot, told.data, told.layout, config);
  };
  const waiting = [...plots];
  const drawOne = () => {
    const plot = waiting.shift();
    if (plot) { draw(plot); setTimeout(drawOne); } else root.dataset.drawn = "yes";
  };
  const resize = (width) => plots.forEach((plot) => {
    if (!plot.classList.contains("js-plotly-plot")) draw(plot);
    Plotly.relayout(plot, width ? { width: width(plot), autosize: false } : { width: null, autosize: true });
  });
  const onPaper = (plot) => (plot.closest(".gallery") ? 330 : 680);  // pixels of A4 and letter within usual margins

  unpacked().then((text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
    drawOne();
    addEventListener("beforeprint", () => { waiting.length = 0; resize(onPaper); });
    addEventListener("afterprint", () => resize(null));
  }).catch(() => {
    // A browser of before 2023: words and numbers stand below each picture.
    plots.forEach((plot) => plot.remove());
    root.dataset.drawn = "no";
  });
})();
