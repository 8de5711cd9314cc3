// Draws the card's figures; their data stands in the page.
const read = (id) => JSON.parse(document.getElementById(id).textContent)
const figures = read("figures")
const dark = matchMedia("(prefers-color-scheme: dark)")
function draw() {
  const ink = dark.matches && !matchMedia("print").matches ? "#c6ced9" : "#48535f"
  for (const place of document.querySelectorAll("[data-figure]")) {
    const { data, layout } = figures[place.dataset.figure]
    delete layout.template
    Plotly.react(place, data, { ...layout, font: { color: ink, family: "inherit" }, autosize: true }, read("chart-config"))
  }
}
draw()
dark.addEventListener("change", draw)
matchMedia("print").addEventListener("change", draw)
