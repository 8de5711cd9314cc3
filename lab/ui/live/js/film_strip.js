// The film strip: the same pictures after each epoch, what the network answers and where in the
// picture it finds evidence for the true class. Maps are laid over the pictures here, because all
// cells of a picture share one colour scale, which grows with the run.

import { apiUrl, element, fetchJson, icon, write } from "./dom.js"

const CELL = 104 // pixels of a cell's picture
const LARGE = 420
const MOST_COLUMNS = 12

const PARTS = {
  train: "trains on it",
  val: "validation image",
  test: "test image",
  unused: "not used",
}

export class FilmStrip {
  constructor(root) {
    this.root = root
    this.heading = element("h2", {}, "Film strip")
    this.about = element(
      "p",
      { class: "live-small" },
      "The same pictures after each epoch. Colour shows where the network finds evidence for the " +
        "true class: the brighter, the more (one scale for all epochs of a picture). Press a cell " +
        "to enlarge it.",
    )
    this.layer = element("select", { "aria-label": "Layer of the film strip" })
    this.layer.onchange = () => {
      this.stage = this.layer.value
      this.draw()
    }
    this.layerBox = element("label", { class: "live-choice" }, "Layer ", this.layer)
    this.table = element("table", {})
    this.scroll = element("div", { class: "live-film", tabindex: "0", role: "region" }, this.table)
    this.scroll.setAttribute("aria-label", "Film strip, one column an epoch")
    this.note = element("p", { class: "live-small" })
    this.dialog = element("dialog", { class: "live-dialog" })
    root.replaceChildren(
      element("div", { class: "live-head" }, this.heading, this.layerBox),
      this.about,
      this.scroll,
      this.note,
      this.dialog,
    )
    this.clear()
  }

  clear() {
    this.columns = []
    this.pictures = new Map() // index -> image
    this.maps = new Map() // "epoch stage" -> { shape, bytes }
    this.newest = null
    this.table.replaceChildren()
    this.root.hidden = true
  }

  /** Before the first column. */
  wait(run) {
    if (this.newest || this.columns.length) return
    const off = run.config.film_strip === false
    this.root.hidden = off || !["queued", "preparing", "running"].includes(run.status)
    this.about.hidden = this.layerBox.hidden = true
    const later = run.parent && run.config.start_with !== "weights"
    const first = later ? "" : "The first column shows the network before its first step; "
    write(this.note, `${first}${first ? "then comes one" : "A column comes"} after each epoch.`)
  }

  /** `look` is how lab.explain.overlay draws maps. */
  take(film, run, look) {
    if (film.whole) this.clear()
    if (!film.columns.length) return
    const known = new Set(this.columns.map(({ epoch }) => epoch))
    this.columns.push(...film.columns.filter(({ epoch }) => !known.has(epoch)))
    this.columns.sort((a, b) => a.epoch - b.epoch)
    this.newest = film
    this.run = run
    this.look = look
    this.colours ??= Uint8Array.from(atob(look.colours), (c) => c.charCodeAt(0))
    this.root.hidden = this.about.hidden = false
    this.layerBox.hidden = film.stages.length < 2
    if (!film.stages.includes(this.stage)) {
      this.stage = film.stages.includes(film.default_stage) ? film.default_stage : film.stages.at(-1)
    }
    if (this.layer.options.length !== film.stages.length) {
      this.layer.replaceChildren(
        ...film.stages.map((stage, i) => element("option", { value: stage }, film.stage_titles[i])),
      )
    }
    this.layer.value = this.stage
    this.draw()
  }

  /** First, last and an even choice between. */
  shown() {
    const { columns } = this
    if (columns.length <= MOST_COLUMNS) return columns
    const last = columns.length - 1
    const places = Array.from({ length: MOST_COLUMNS }, (_, i) =>
      Math.round((i * last) / (MOST_COLUMNS - 1)),
    )
    return [...new Set(places)].map((i) => columns[i])
  }

  draw() {
    const { pictures } = this.newest
    const shown = this.shown()
    const atEnd =
      this.scroll.scrollLeft + this.scroll.clientWidth >= this.scroll.scrollWidth - CELL
    const head = element(
      "tr",
      {},
      element("th", { scope: "col" }, "Picture"),
      ...shown.map(({ epoch }) => {
        return element("th", { scope: "col" }, epoch ? `epoch ${epoch}` : "start")
      }),
    )
    const rows = pictures.map((picture) => {
      const name = this.className(picture.label)
      const about = `${picture.name}, ${PARTS[picture.part] ?? ""}`
      const own = element("canvas", { width: CELL, height: CELL, role: "img" })
      own.setAttribute("aria-label", `${name}, the picture itself`)
      this.paint(own, picture.index, null)
      const train = picture.part === "train" ? element("small", {}, "trains on it") : null
      const head = element("th", { scope: "row", title: about }, own, name, train)
      return element("tr", {}, head, ...shown.map((column) => this.cell(picture, column)))
    })
    this.table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows))
    if (atEnd) this.scroll.scrollLeft = this.scroll.scrollWidth
    write(this.note, this.noteText(shown))
    if (this.dialog.open) this.enlarge(this.enlarged.picture, this.enlarged.epoch)
  }

  cell(picture, column) {
    const row = column.indices.indexOf(picture.index)
    if (row < 0) return element("td", { title: "Not followed yet" }, "–")
    const canvas = element("canvas", { width: CELL, height: CELL, role: "img" })
    const when = column.epoch ? `after epoch ${column.epoch}` : "before training"
    canvas.setAttribute("aria-label", `Evidence for ${this.className(picture.label)}, ${when}`)
    this.paint(canvas, picture.index, column)
    const button = element("button", { type: "button", class: "live-cell" })
    if (this.stage) button.append(canvas)
    button.append(this.answer(picture, column, row))
    button.onclick = () => this.enlarge(picture, column.epoch)
    return element("td", {}, button)
  }

  answer(picture, column, row) {
    const right = column.predicted[row] === picture.label
    const text = `${this.className(column.predicted[row])} ${percent(column.probability[row])}`
    const mark = element("span", { role: "img", "aria-label": right ? "right:" : "wrong:" })
    mark.textContent = right ? "✓ " : "✗ "
    const box = element("span", { class: right ? "live-right" : "live-wrong" }, mark, text)
    if (this.lacksMap(column, row)) box.append(element("small", {}, "no evidence here"))
    return box
  }

  lacksMap(column, row) {
    const stage = this.newest.stages.indexOf(this.stage)
    return stage >= 0 && !column.meaningful[stage]?.[row]
  }

  className(label) {
    return this.run.class_names[label] ?? `class ${label}`
  }

  noteText(shown) {
    const { every } = this.newest
    const notes = []
    if (shown.some((column) => column.indices.some((_, row) => this.lacksMap(column, row)))) {
      notes.push(
        "“No evidence here”: nothing in this layer speaks for the true class; another layer may.",
      )
    }
    if (shown.length < this.columns.length) {
      notes.push(
        `${shown.length} of ${this.columns.length} epochs are shown; press a cell for all.`,
      )
    }
    if (every > 1) {
      const when =
        every < this.run.config.epochs
          ? `every ${every} epochs`
          : "after the first and the last epoch alone"
      notes.push(`Recorded ${when}, to spare training time.`)
    }
    return notes.join(" ")
  }

  // --- one cell, large --------------------------------------------------------------------------
  enlarge(picture, epoch) {
    this.enlarged = { picture, epoch }
    const column = this.columns.find((each) => each.epoch === epoch)
    const row = column.indices.indexOf(picture.index)
    const canvas = element("canvas", { width: LARGE, height: LARGE, role: "img" })
    canvas.setAttribute("aria-label", `Evidence for ${this.className(picture.label)}, enlarged`)
    this.paint(canvas, picture.index, column)
    const slider = element("input", { type: "range", min: 0, max: this.columns.length - 1 })
    slider.setAttribute("aria-label", "Epoch")
    slider.value = this.columns.indexOf(column)
    slider.oninput = () => this.enlarge(picture, this.columns[Number(slider.value)].epoch)
    const close = element("button", { type: "button", "aria-label": "Close" }, icon("close"))
    close.onclick = () => this.dialog.close()
    const when = epoch ? `After epoch ${epoch}` : "Before training"
    const said = row < 0 ? element("p", {}, "Not followed yet.") : this.said(picture, column, row)
    this.dialog.replaceChildren(
      element("div", { class: "live-head" }, element("h3", {}, when), close),
      canvas,
      said,
      slider,
    )
    if (!this.dialog.open) this.dialog.showModal()
    slider.focus()
  }

  said(picture, column, row) {
    const box = element("p", {}, this.answer(picture, column, row))
    if (column.predicted[row] !== picture.label) {
      const share = percent(column.true_probability[row])
      box.append(element("br"), `${this.className(picture.label)}, the true class: ${share}`)
    }
    return box
  }

  // --- pictures ---------------------------------------------------------------------------------
  /** Draws the picture, in colour or, with a column, black and white under its map. */
  async paint(canvas, index, column) {
    const { stage } = this
    const token = (canvas.token = Symbol())
    const { width, height } = canvas
    let image, map
    try {
      ;[image, map] = await Promise.all([this.picture(index), column && this.map(column, stage)])
    } catch (error) {
      return console.warn(error) // the run was deleted, or resumed at this moment
    }
    if (canvas.token !== token) return
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = image.width > width
    context.drawImage(image, 0, 0, width, height)
    if (!column || !map) return
    const row = column.indices.indexOf(index)
    const peak = this.peak(index, stage)
    if (row < 0 || !(peak > 0)) return
    const own = column.peaks[this.newest.stages.indexOf(stage)][row]
    this.overlay(context, map, row, own / peak)
  }

  /** Black and white where nothing speaks for the class, colour where something does. */
  overlay(context, { shape, bytes }, row, scale) {
    const { width, height } = context.canvas
    const [, h, w] = shape
    const small = new OffscreenCanvas(w, h)
    const data = new ImageData(w, h)
    for (let i = 0; i < h * w; i++) {
      data.data[4 * i] = bytes[row * h * w + i]
      data.data[4 * i + 3] = 255
    }
    small.getContext("2d").putImageData(data, 0, 0)
    const large = new OffscreenCanvas(width, height).getContext("2d")
    large.imageSmoothingQuality = "high"
    large.drawImage(small, 0, 0, width, height)
    const share = large.getImageData(0, 0, width, height).data
    const picture = context.getImageData(0, 0, width, height)
    const pixels = picture.data
    const grey = this.backdrop(pixels)
    const { strength, onset } = this.look
    for (let i = 0; i < pixels.length; i += 4) {
      const value = Math.min(255, share[i] * scale)
      const colour = 3 * Math.round(value)
      const alpha = strength * Math.min(1, value / 255 / onset)
      for (let c = 0; c < 3; c++) {
        pixels[i + c] = grey[i / 4] * (1 - alpha) + this.colours[colour + c] * alpha
      }
    }
    context.putImageData(picture, 0, 0)
  }

  /** The picture in dimmed black and white; dark and pale ones are stretched. */
  backdrop(pixels) {
    const { darkest, brightest, gain } = this.look
    const grey = new Float32Array(pixels.length / 4)
    const counts = new Uint32Array(256)
    for (let i = 0; i < grey.length; i++) {
      grey[i] = 0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]
      counts[Math.round(grey[i])] += 1
    }
    const low = percentile(counts, grey.length * 0.01)
    const high = percentile(counts, grey.length * 0.99)
    const half = Math.max(high - low, 255 / gain) / 2
    const bottom = Math.min(Math.max((low + high) / 2 - half, 0), 255 - 2 * half)
    return grey.map((value) => {
      const share = Math.min(1, Math.max(0, (value - bottom) / (2 * half)))
      return darkest + (brightest - darkest) * share
    })
  }

  /** The largest value of a picture's maps over the whole run: full colour. */
  peak(index, stage) {
    const number = this.newest.stages.indexOf(stage)
    let largest = 0
    for (const column of this.columns) {
      const row = column.indices.indexOf(index)
      if (row >= 0) largest = Math.max(largest, column.peaks[number]?.[row] ?? 0)
    }
    return largest
  }

  picture(index) {
    if (!this.pictures.has(index)) {
      const url = apiUrl(`runs/${this.run.id}/film/pictures/${index}.png`)
      this.pictures.set(
        index,
        new Promise((resolve, reject) => {
          const image = new Image()
          image.onload = () => resolve(image)
          image.onerror = () => reject(new Error(`${url} did not load`))
          image.src = url
        }),
      )
    }
    return this.pictures.get(index)
  }

  map({ epoch }, stage) {
    if (!stage) return null
    const key = `${epoch} ${stage}`
    if (!this.maps.has(key)) {
      const query = `stage=${encodeURIComponent(stage)}&revision=${this.run.revision}`
      const path = `runs/${this.run.id}/film/${epoch}?${query}`
      const maps = fetchJson(path).then(({ shape, data }) => {
        return { shape, bytes: Uint8Array.from(atob(data), (c) => c.charCodeAt(0)) }
      })
      maps.catch(() => this.maps.delete(key))
      this.maps.set(key, maps)
    }
    return this.maps.get(key)
  }

  destroy() {
    if (this.dialog.open) this.dialog.close()
  }
}

/** The value below which `count` of the counted ones lie. */
function percentile(counts, count) {
  let seen = 0
  return counts.findIndex((n) => (seen += n) > count)
}

/** "0%" and "100%" only if exact. */
function percent(share) {
  if (share > 0 && share < 0.005) return "<1%"
  if (share >= 0.995 && share < 1) return ">99%"
  return `${Math.round(share * 100)}%`
}
