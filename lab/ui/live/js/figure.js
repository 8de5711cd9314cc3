// A chart that rests between two changes: a Plotly figure made by the server, drawn in the page's
// colours. Zoom stays when a newer one comes.

import { element, loadOnce, readTheme } from "./dom.js"

export class Figure {
  constructor(root) {
    this.root = root
    this.plot = element("div", { tabindex: "0" })
    root.replaceChildren(this.plot)
    this.resizes = new ResizeObserver(() => this.drawn && this.fit())
    this.resizes.observe(root)
  }

  async draw(figure, alt) {
    await loadOnce("script", "plotly.min.js")
    if (this.gone) return
    this.newest = [figure, alt]
    const theme = readTheme(this.root)
    this.theme = JSON.stringify(theme)
    const axis = { gridcolor: theme.border, linecolor: theme.border, zerolinecolor: theme.border }
    const template = {
      layout: {
        ...figure.layout.template?.layout,
        colorway: theme.palette,
        font: { family: theme.font, color: theme.text, size: 12 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: axis,
        yaxis: axis,
        hoverlabel: { bgcolor: theme.background, font: { color: theme.text } },
      },
      data: figure.layout.template?.data,
    }
    const layout = { uirevision: "kept", autosize: true, ...figure.layout, template }
    delete layout.width
    this.plot.setAttribute("role", "img") // not before there is a sentence to say
    this.plot.setAttribute("aria-label", alt)
    await window.Plotly.react(this.plot, figure.data, layout, {
      displayModeBar: false,
      responsive: false,
    })
    this.drawn = true
  }

  /** Follows light and dark. */
  follow() {
    if (this.drawn && JSON.stringify(readTheme(this.root)) !== this.theme) this.draw(...this.newest)
  }

  fit() {
    const width = this.root.clientWidth
    if (width && this.plot._fullLayout && width !== this.plot._fullLayout.width) {
      window.Plotly.relayout(this.plot, { width })
    }
  }

  destroy() {
    this.gone = true
    this.resizes.disconnect()
    if (this.drawn) window.Plotly.purge(this.plot)
  }
}
