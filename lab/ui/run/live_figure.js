// How the live chart looks: its lines, axes and colours. Knows the points that a LiveChart holds
// (live_chart.js) and changes none of them.

const MARKERS_UP_TO = 60 // epochs; more markers would hide their line

export const SERIES = [
  { id: "batch", label: "Each batch" },
  { id: "smoothed", label: "Smoothed" },
  { id: "train", label: "Training, whole epoch" },
  { id: "validation", label: "Validation" },
  { id: "best", label: "Best epoch" },
]

/** The lines of SERIES that a metric has: a metric of whole sets only has none of batches. */
function seriesOf({ batches }) {
  return SERIES.filter(({ id }) => batches || id === "validation" || id === "best")
}

/** The lines of one panel: of its metric, in the order of SERIES. */
export function traces(chart, panel) {
  const { train, validation, best, background } = chart.theme
  const own = (values) => values.slice() // extendTraces appends to what it was given
  const mode = chart.epochs.length > MARKERS_UP_TO ? "lines" : "lines+markers"
  const bestAt = chart.epochs.indexOf(chart.best)
  const validated = chart.epochColumns[`val_${panel.id}`] ?? []
  const byId = {
    batch: {
      y: own(chart.columns[panel.id] ?? []),
      line: { color: train, width: 1 },
      opacity: 0.4,
    },
    smoothed: {
      y: own(chart.columns[`${panel.id}_smoothed`] ?? []),
      mode: chart.steps.length < 2 ? "markers" : "lines",
      line: { color: train, width: 2.5 },
      marker: { color: train, size: 7 },
    },
    train: {
      y: own(chart.epochColumns[`train_${panel.id}`] ?? []),
      mode,
      line: { color: train, width: 1.25 },
      marker: { size: 7, color: background, line: { color: train, width: 2 } },
    },
    validation: {
      y: own(validated),
      mode,
      line: { color: validation, width: 2, dash: "dash" },
      marker: { size: 8, color: validation, symbol: "diamond" },
    },
    best: {
      x: bestAt < 0 ? [] : [chart.epochSteps[bestAt]],
      y: bestAt < 0 ? [] : [validated[bestAt]],
      mode: "markers",
      marker: { size: 15, color: best, symbol: "star", line: { color: background, width: 1 } },
      hoverinfo: "skip",
    },
  }
  const isEpoch = (id) => id === "train" || id === "validation"
  return seriesOf(panel).map(({ id, label }) => ({
    type: "scatter",
    mode: "lines",
    name: label,
    visible: !chart.hidden.has(id),
    x: own(isEpoch(id) ? chart.epochSteps : chart.steps),
    customdata: isEpoch(id) ? own(chart.epochs) : own(chart.steps),
    hovertemplate: isEpoch(id)
      ? `${label.split(",")[0]}, epoch %{customdata} : %{y}<extra></extra>`
      : undefined,
    ...byId[id],
  }))
}

export function layout(chart, panel, width) {
  const { text, border, background, font } = chart.theme
  const axis = { zeroline: false, linecolor: border, tickcolor: border, gridcolor: border }
  return {
    // The person's zoom lives until this text changes: another run, a reset, another scale.
    uirevision: `${chart.run} ${panel.zooms}`,
    width,
    height: panel.height,
    margin: { l: 48, r: 10, t: 8, b: 42 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: font, color: text, size: 12 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: background, bordercolor: border, font: { family: font, color: text } },
    // On a touch screen a drag must scroll the page.
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: {
      ...axis,
      rangemode: "nonnegative",
      showgrid: false,
      showline: true,
      title: { text: "step", standoff: 8 },
      tickformat: ",d",
      hoverformat: ",d",
      unifiedhovertitle: { text: "step %{x:,d}" },
      nticks: 6,
      // A run's first steps fill up a frame instead of stretching a new one at each tick.
      autorangeoptions: { include: [0, 20] },
    },
    yaxis: {
      ...axis,
      uirevision: `${chart.run} ${panel.zooms} ${panel.log}`,
      type: panel.log ? "log" : "linear",
      nticks: 6,
      ...(panel.percent
        ? {
            tickformat: ".0%",
            hoverformat: ".1%",
            autorangeoptions: { clipmin: -0.02, clipmax: 1.02 },
          }
        : { hoverformat: ".4~g", rangemode: "nonnegative" }),
    },
  }
}

/** Streamlit's colours as they are now: light, dark, or the person's own. */
export function readTheme(root) {
  const style = getComputedStyle(root)
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim()
  const palette = read("chart-categorical-colors").split(",")
  return {
    text: read("text-color"),
    background: read("background-color"),
    border: read("border-color"),
    font: read("font"),
    train: palette[0],
    validation: palette[1],
    best: palette[3] ?? palette[1],
  }
}

/** A piece of the line as it looks in the chart. */
export function swatch(id) {
  const colour = ["validation", "best"].includes(id) ? id : "train"
  const shapes = {
    batch: '<path d="M1 7 7 3 12 8 18 4 23 6" stroke-width="1.2" opacity=".45"/>',
    smoothed: '<path d="M1 6H23" stroke-width="3"/>',
    train: '<path d="M1 6H23" stroke-width="1.3"/><circle cx="12" cy="6" r="3.2" stroke-width="2"/>',
    validation: '<path d="M1 6H23" stroke-width="2" stroke-dasharray="5 3"/><path d="M12 2 16 6 12 10 8 6Z" fill="currentColor"/>',
    best: '<path d="M12 0 13.6 4.3 18 4.5 14.5 7.2 15.7 11.6 12 9 8.3 11.6 9.5 7.2 6 4.5 10.4 4.3Z" fill="currentColor"/>',
  }
  const box = document.createElement("span")
  box.ariaHidden = "true"
  box.style.color = `var(--live-chart-${colour})` // set by LiveChart.follow
  box.innerHTML = `<svg width="24" height="12" fill="none" stroke="currentColor">${shapes[id]}</svg>`
  return box
}

/** What one tick adds to the lines of a panel: [{ trace, x, y, customdata }], empty ones left out. */
export function additions(panel, added) {
  const columns = {
    batch: panel.id,
    smoothed: `${panel.id}_smoothed`,
    train: `train_${panel.id}`,
    validation: `val_${panel.id}`,
  }
  return seriesOf(panel)
    .map(({ id }, trace) => {
      const isEpoch = id === "train" || id === "validation"
      const x = isEpoch ? added.epochSteps : added.steps
      const customdata = isEpoch ? added.epochs : added.steps
      return { trace, x, y: added.columns[columns[id]], customdata }
    })
    .filter(({ x, y }) => y && x.length)
}
