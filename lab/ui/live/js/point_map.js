// A map of pictures (lab/ui/widgets/point_map.py): one mark a picture, by group in colour and shape.
//
//   drag, wheel, pinch, + and -     move and zoom; when few enough are in view, their pictures show
//   lasso, a click, Enter           choose pictures: reported as { rows }
//   legend                          what is switched off is neither drawn nor chosen
//   frames                          the same pictures at several moments: a slider, and play
//
// Two canvases: marks below, what follows the pointer above, so that a lasso redraws nothing else.

import { element, icon, loadOnce, mounted, readTheme, write } from "./dom.js"
import { channels, drawMark, makeStamp, Sheet } from "./point_marks.js"
import { Pictures } from "./point_pictures.js"

const NEAR = 14 // pixels from the pointer within which a picture is meant
const STILL = 5 // pixels that a click may move
const THUMBNAIL = 44
const CELL = 52 // one picture at most in a square of so many pixels
const FEW = 250 // in view: then their pictures show by themselves
const DEEPEST = 400 // times the whole map
const FAINT = 0.16
const STEP_MS = 900
const GLIDE_MS = 550
const TIP = 118
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }
const STEADY = matchMedia("(prefers-reduced-motion: reduce)")

class PointMap {
  constructor(root) {
    this.root = root
    this.pictures = new Pictures(() => this.redraw())
    this.off = new Set() // titles of groups that are switched off
    this.chosen = new Set() // rows
    this.pointers = new Map()
    this.stamps = new Map()
    this.lasso = null
    this.emphasis = null // a group under the pointer in the legend
    this.build()
    this.observer = new ResizeObserver(() => this.resize())
    this.observer.observe(this.frame)
    this.dark = matchMedia("(prefers-color-scheme: dark)")
    this.onTheme = () => setTimeout(() => this.redraw(), 300) // Streamlit follows it first
    this.dark.addEventListener("change", this.onTheme)
  }

  // --- what is on the page ------------------------------------------------------------------------
  build() {
    this.base = element("canvas", { "aria-hidden": "true" })
    this.top = element("canvas", { tabindex: "0", role: "application" })
    this.tip = element("div", { class: "map-tip", hidden: true })
    this.frame = element("div", { class: "map-frame" }, this.base, this.top, this.tip)
    const tool = (name, words, title, press) => {
      const made = element(
        "button",
        { type: "button", title, "aria-label": title, onclick: press },
        icon(name),
        words && element("span", { class: "map-word" }, words),
      )
      return made
    }
    this.mover = tool("pan_tool", "Move", "Move: drag the map", () => this.setMode("move"))
    this.ringer = tool("lasso_select", "Lasso", "Lasso: draw a line around pictures to choose them", () => this.setMode("lasso"))
    this.shower = tool("image", "Pictures", "Show pictures at any zoom", () => {
      this.always = !this.always
      this.shower.setAttribute("aria-pressed", String(this.always))
      this.redraw()
    })
    this.always = false
    this.shower.setAttribute("aria-pressed", "false")
    this.viewChooser = tool("select_all", "Choose what is in view", "Choose all pictures that are in view", () => this.chooseInView())
    this.tools = element(
      "div",
      { class: "map-tools", role: "group", "aria-label": "Map" },
      this.mover,
      this.ringer,
      element("span", { class: "map-gap" }),
      tool("zoom_in", "", "Zoom in", () => this.zoom(1.6)),
      tool("zoom_out", "", "Zoom out", () => this.zoom(1 / 1.6)),
      tool("fit_screen", "", "The whole map", () => this.whole()),
      this.shower,
      this.viewChooser,
    )
    this.player = tool("play_arrow", "", "Play", () => this.play())
    this.slider = element("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Epoch" })
    this.slider.oninput = () => {
      this.pause()
      this.goTo(Number(this.slider.value), false)
    }
    this.moment = element("output", {})
    this.time = element("div", { class: "map-time", hidden: true }, this.player, this.slider, this.moment)
    this.line = element("p", { class: "live-small", role: "status" })
    this.note = element("p", { class: "live-small" })
    this.legend = element("div", { class: "map-legend", role: "group" })
    this.root.replaceChildren(this.tools, this.frame, this.time, this.line, this.legend, this.note)
    this.setMode("move")
    this.listen()
  }

  async receive({ data, setTriggerValue }) {
    this.trigger = setTriggerValue
    await (this.styled ??= Promise.all([loadOnce("link", "live.css"), loadOnce("link", "point_map.css")]).catch(console.error))
    const before = this.data
    this.data = data
    this.pictures.use(data.pictures)
    const same = before && before.map === data.map
    this.chosen = new Set(data.chosen)
    if (!same) this.load(data)
    else this.recode(data)
    this.groupsOf(data)
    if (!same) this.goTo(this.at, false)
    this.top.setAttribute("aria-label", `${data.alt} ${this.howTo()}`)
    this.viewChooser.hidden = this.ringer.hidden = this.mover.hidden = !data.selectable
    if (!same) this.whole()
    else this.redraw()
  }

  howTo() {
    const choose = this.data.selectable ? " Enter chooses the pictures in view, Escape none." : ""
    return `Arrow keys move the map, plus and minus zoom, 0 shows all.${choose}`
  }

  /** A new map: positions, and what belongs to each picture. */
  load(data) {
    this.pause()
    this.swatches = null
    this.legendKey = null
    this.rows = numbers(data.rows, Int32Array)
    this.labels = numbers(data.labels, Uint16Array)
    this.splits = data.splits ? numbers(data.splits, Uint8Array) : null
    this.frames = data.frames.map((frame) => ({
      title: frame.title,
      note: frame.note,
      points: numbers(frame.points, Float32Array),
      codes: frame.codes ? numbers(frame.codes, Uint16Array) : null,
      answers: frame.answers ? numbers(frame.answers, Uint16Array) : null,
    }))
    this.count = this.rows.length
    this.points = Float32Array.from(this.frames.at(-1).points)
    this.place = new Map(Array.from(this.rows, (row, i) => [row, i]))
    this.inView = []
    this.time.hidden = this.frames.length < 2
    this.slider.max = this.frames.length - 1
    this.off.clear()
    this.at = this.frames.length - 1
  }

  /** The same positions with other groups. */
  recode(data) {
    data.frames.forEach(({ codes }, i) => (this.frames[i].codes = codes ? numbers(codes, Uint16Array) : null))
  }

  groupsOf(data) {
    const titles = data.groups.map(({ title }) => title)
    const key = JSON.stringify([data.legend, data.groups])
    this.codes = data.codes ? numbers(data.codes, Uint16Array) : null
    // Those that lie behind are drawn first; within a group the order is that of the data set.
    const layer = data.groups.map(({ behind }) => (behind ? 0 : 1))
    this.layers = layer.includes(0) ? layer : null
    if (key === this.legendKey) return this.counts()
    this.legendKey = key
    for (const title of [...this.off]) if (!titles.includes(title)) this.off.delete(title)
    this.legend.setAttribute("aria-label", `Legend: ${data.legend}`)
    this.swatches = data.groups.map((group) => {
      const swatch = element("canvas", { width: 28, height: 28, "aria-hidden": "true" })
      const count = element("span", { class: "live-small" })
      const button = element("button", { type: "button" }, swatch, group.title, count)
      button.onclick = () => this.toggle(group.title)
      button.onpointerenter = button.onfocus = () => this.emphasise(group.title)
      button.onpointerleave = button.onblur = () => this.emphasise(null)
      return { group, swatch, count, button }
    })
    const all = element("button", { type: "button" }, "All")
    all.onclick = () => this.showOnly(null)
    const none = element("button", { type: "button" }, "None")
    none.onclick = () => this.showOnly([])
    this.legend.replaceChildren(...this.swatches.map(({ button }) => button), ...(titles.length > 2 ? [all, none] : []))
    this.counts()
  }

  counts() {
    if (!this.swatches) return
    const found = new Array(this.data.groups.length).fill(0)
    for (let i = 0; i < this.count; i++) found[this.code(i)]++
    const { background } = readTheme(this.root)
    this.swatches.forEach(({ group, swatch, count, button }, i) => {
      const context = swatch.getContext("2d")
      context.setTransform(1, 0, 0, 1, 14, 14)
      context.clearRect(-14, -14, 28, 28)
      drawMark(context, group.shape, 8, group.colour, background)
      write(count, found[i].toLocaleString("en"))
      button.setAttribute("aria-pressed", String(!this.off.has(group.title)))
    })
  }

  code(i) {
    return (this.frames[this.at].codes ?? this.codes)[i]
  }

  toggle(title) {
    if (this.off.has(title)) this.off.delete(title)
    else this.off.add(title)
    this.counts()
    this.redraw()
  }

  showOnly(titles) {
    this.off = new Set(titles === null ? [] : this.data.groups.map(({ title }) => title))
    this.counts()
    this.redraw()
  }

  emphasise(title) {
    if (this.emphasis === title) return
    this.emphasis = title
    this.redraw()
  }

  setMode(mode) {
    this.mode = mode
    this.mover.setAttribute("aria-pressed", String(mode === "move"))
    this.ringer.setAttribute("aria-pressed", String(mode === "lasso"))
    this.frame.classList.toggle("map-lasso", mode === "lasso")
  }

  // --- moments ------------------------------------------------------------------------------------
  goTo(at, glide) {
    const from = Float32Array.from(this.points)
    this.at = at
    const { points, title, note } = this.frames[at]
    this.slider.value = at
    this.slider.setAttribute("aria-valuetext", title)
    write(this.moment, this.frames.length > 1 ? title : "")
    write(this.note, note ?? "")
    this.note.hidden = !note
    this.counts()
    cancelAnimationFrame(this.gliding)
    if (!glide || STEADY.matches) {
      this.points.set(points)
      return this.redraw()
    }
    const began = performance.now()
    const step = (now) => {
      const t = Math.min(1, (now - began) / GLIDE_MS)
      const ease = t * t * (3 - 2 * t)
      for (let i = 0; i < points.length; i++) this.points[i] = from[i] + (points[i] - from[i]) * ease
      this.redraw()
      if (t < 1) this.gliding = requestAnimationFrame(step)
    }
    this.gliding = requestAnimationFrame(step)
  }

  play() {
    if (this.playing) return this.pause()
    const last = this.frames.length - 1
    this.goTo(this.at >= last ? 0 : this.at + 1, true)
    this.playing = setInterval(() => {
      if (!this.root.isConnected || this.at >= last) return this.pause()
      this.goTo(this.at + 1, true)
    }, STEP_MS)
    write(this.player.firstChild, "pause")
    this.player.title = "Pause"
    this.player.setAttribute("aria-label", "Pause")
  }

  pause() {
    clearInterval(this.playing)
    this.playing = null
    write(this.player.firstChild, "play_arrow")
    this.player.title = "Play"
    this.player.setAttribute("aria-label", "Play")
  }

  // --- the view -----------------------------------------------------------------------------------
  resize() {
    const { clientWidth, clientHeight } = this.frame
    if (!clientWidth || !clientHeight) return
    const kept = this.scale && this.fitScale ? this.scale / this.fitScale : null
    this.density = Math.min(2, window.devicePixelRatio || 1)
    this.width = clientWidth
    this.height = clientHeight
    for (const canvas of [this.base, this.top]) {
      canvas.width = Math.round(clientWidth * this.density)
      canvas.height = Math.round(clientHeight * this.density)
    }
    this.sheet = null
    if (!this.data) return
    if (!this.centre) return this.whole() // the data came before the frame had a size
    this.fit()
    this.scale = kept ? kept * this.fitScale : this.fitScale
    this.redraw()
  }

  /** Pixels a unit at which all frames are in view, and their middle. */
  fit() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity]
    for (const { points } of this.frames) {
      for (let i = 0; i < points.length; i += 2) {
        left = Math.min(left, points[i])
        right = Math.max(right, points[i])
        low = Math.min(low, points[i + 1])
        high = Math.max(high, points[i + 1])
      }
    }
    if (!(right >= left)) [left, right, low, high] = [-1, 1, -1, 1]
    this.middle = [(left + right) / 2, (low + high) / 2]
    const room = (pixels) => Math.max(50, pixels - 48)
    this.fitScale = Math.min(room(this.width) / Math.max(1e-3, right - left), room(this.height) / Math.max(1e-3, high - low))
  }

  whole() {
    if (!this.width) return
    this.fit()
    this.scale = this.fitScale
    this.centre = [...this.middle]
    this.redraw()
  }

  /** Zooms about a place on the canvas, by default its middle. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(this.fitScale * DEEPEST, Math.max(this.fitScale * 0.5, this.scale * factor))
    const [dx, dy] = [x - this.width / 2, this.height / 2 - y]
    this.centre[0] += dx / this.scale - dx / scale
    this.centre[1] += dy / this.scale - dy / scale
    this.scale = scale
    this.redraw()
  }

  pan(dx, dy) {
    this.centre[0] -= dx / this.scale
    this.centre[1] += dy / this.scale
    this.redraw()
  }

  x(i) {
    return this.width / 2 + (this.points[2 * i] - this.centre[0]) * this.scale
  }

  y(i) {
    return this.height / 2 - (this.points[2 * i + 1] - this.centre[1]) * this.scale
  }

  // --- drawing ------------------------------------------------------------------------------------
  redraw() {
    if (this.waiting || !this.data || !this.width) return
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null
      this.draw()
    })
  }

  radius() {
    const whole = this.count <= 300 ? 5 : this.count <= 2000 ? 4 : this.count <= 8000 ? 3 : 2.3
    const zoomed = Math.max(1, this.scale / this.fitScale)
    return Math.min(8, whole * zoomed ** 0.35)
  }

  stampsFor(theme) {
    const radius = Math.round(this.radius() * this.density * 2) / 2
    const key = JSON.stringify([theme.background, this.legendKey])
    if (this.stampKey !== key) this.stamps.clear()
    this.stampKey = key
    if (!this.stamps.has(radius)) {
      const made = this.data.groups.map(({ colour, shape }) =>
        [FAINT, 1].map((strength) => makeStamp(shape, radius, colour, theme.background, strength)),
      )
      this.stamps.set(radius, made)
    }
    return this.stamps.get(radius)
  }

  draw() {
    const theme = readTheme(this.root)
    const { width, height, density, count } = this
    const context = this.base.getContext("2d")
    this.sheet ??= new Sheet(this.base.width, this.base.height)
    this.sheet.clear(channels(theme.background))
    const stamps = this.stampsFor(theme)
    const { groups } = this.data
    const shown = groups.map(({ title }) => !this.off.has(title))
    const loud = groups.map(({ title }) => this.emphasis === null || this.emphasis === title)
    const choosing = this.chosen.size > 0 && this.emphasis === null
    const inView = []
    const late = []
    const margin = 10
    const passes = this.layers ? [0, 1] : [null]
    for (const pass of passes) {
      for (let i = 0; i < count; i++) {
        const group = this.code(i)
        if (!shown[group] || (pass !== null && this.layers[group] !== pass)) continue
        const x = this.x(i)
        const y = this.y(i)
        if (x < -margin || y < -margin || x > width + margin || y > height + margin) continue
        if (x >= 0 && y >= 0 && x < width && y < height) inView.push(i)
        const strong = choosing ? this.chosen.has(this.rows[i]) : loud[group]
        if (strong && (choosing || this.emphasis !== null)) late.push(i)
        else this.sheet.stamp(stamps[group][strong ? 1 : 0], Math.round(x * density), Math.round(y * density))
      }
    }
    for (const i of late) {
      this.sheet.stamp(stamps[this.code(i)][1], Math.round(this.x(i) * density), Math.round(this.y(i) * density))
    }
    context.putImageData(this.sheet.image, 0, 0)
    this.inView = inView
    this.drawPictures(context, inView, theme)
    this.drawTop(theme)
    const where = `${inView.length.toLocaleString("en")} of ${count.toLocaleString("en")} pictures in view`
    const many = this.chosen.size ? ` · ${this.chosen.size.toLocaleString("en")} chosen` : ""
    clearTimeout(this.saying)
    this.saying = setTimeout(() => write(this.line, this.pictures.failed || where + many + "."), 150)
  }

  drawPictures(context, inView, theme) {
    if (!this.always && inView.length > FEW) return this.pictures.want([])
    // Squares are laid over the map, not over the canvas: a picture stays while one drags.
    const level = 1.25 ** Math.round(Math.log(this.scale) / Math.log(1.25))
    const best = new Map()
    for (const i of inView) {
      const cell = `${Math.floor((this.points[2 * i] * level) / CELL)} ${Math.floor((this.points[2 * i + 1] * level) / CELL)}`
      const known = best.get(cell)
      if (known === undefined || rank(i) < rank(known)) best.set(cell, i)
    }
    const wanted = []
    context.save()
    context.scale(this.density, this.density)
    context.imageSmoothingEnabled = true
    const half = THUMBNAIL / 2
    for (const i of best.values()) {
      const row = this.rows[i]
      wanted.push(row)
      const small = this.pictures.small.get(row)
      if (!small) continue
      const [x, y] = [Math.round(this.x(i)) - half, Math.round(this.y(i)) - half]
      const { colour, shape } = this.data.groups[this.code(i)]
      context.globalAlpha = this.chosen.size && !this.chosen.has(row) ? 0.45 : 1
      context.fillStyle = colour
      context.fillRect(x - 2, y - 2, THUMBNAIL + 4, THUMBNAIL + 4)
      context.drawImage(small.sheet, small.x, small.y, small.side, small.side, x, y, THUMBNAIL, THUMBNAIL)
      context.translate(x + 6, y + 6) // not by colour alone
      drawMark(context, shape, 4, colour, theme.background)
      context.translate(-x - 6, -y - 6)
    }
    context.restore()
    this.pictures.want(wanted)
  }

  /** What follows the pointer: the lasso, and a ring about the picture that is meant. */
  drawTop(theme = readTheme(this.root)) {
    const context = this.top.getContext("2d")
    context.setTransform(this.density, 0, 0, this.density, 0, 0)
    context.clearRect(0, 0, this.width, this.height)
    if (this.lasso) {
      context.beginPath()
      this.lasso.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)))
      context.closePath()
      context.fillStyle = theme.text
      context.globalAlpha = 0.08
      context.fill()
      context.globalAlpha = 1
      context.strokeStyle = theme.text
      context.lineWidth = 1.5
      context.setLineDash([5, 4])
      context.stroke()
      context.setLineDash([])
    }
    if (this.meant !== null && this.meant !== undefined) {
      context.beginPath()
      context.arc(this.x(this.meant), this.y(this.meant), this.radius() + 4, 0, 2 * Math.PI)
      context.strokeStyle = theme.text
      context.lineWidth = 2
      context.stroke()
    }
  }

  // --- pointers and keys --------------------------------------------------------------------------
  listen() {
    const { top } = this
    top.onpointerdown = (event) => this.down(event)
    top.onpointermove = (event) => this.move(event)
    top.onpointerup = (event) => this.up(event)
    top.onpointercancel = (event) => this.cancel(event)
    top.onpointerleave = () => this.mean(null)
    top.onkeydown = (event) => this.key(event)
    top.addEventListener(
      "wheel",
      (event) => {
        // The page scrolls past a map that nobody has touched.
        if (!event.ctrlKey && this.root.getRootNode().activeElement !== top) return
        event.preventDefault()
        const [x, y] = this.spot(event)
        this.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) * (event.ctrlKey ? 0.01 : 0.002)), x, y)
      },
      { passive: false },
    )
  }

  spot(event) {
    const box = this.top.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }

  down(event) {
    if (event.button > 0) return
    this.top.setPointerCapture(event.pointerId)
    this.top.focus({ preventScroll: true })
    const spot = this.spot(event)
    this.pointers.set(event.pointerId, spot)
    this.frame.classList.add("map-moving")
    if (this.pointers.size > 1) {
      this.lasso = null // two fingers move and zoom
      this.start = null
      return
    }
    this.start = spot
    this.adds = event.shiftKey
    if (this.mode === "lasso" && this.data.selectable) this.lasso = [spot]
  }

  move(event) {
    const spot = this.spot(event)
    const before = this.pointers.get(event.pointerId)
    if (!before) return event.pointerType === "touch" ? null : this.mean(this.nearest(...spot), spot)
    if (this.pointers.size > 1) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1]
      const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1])
      const middle = [(spot[0] + other[0]) / 2, (spot[1] + other[1]) / 2]
      this.pan((spot[0] - before[0]) / 2, (spot[1] - before[1]) / 2)
      this.zoom(apart(spot) / Math.max(1, apart(before)), ...middle)
    } else if (this.lasso) {
      this.lasso.push(spot)
      this.drawTop()
    } else {
      this.mean(null)
      this.pan(spot[0] - before[0], spot[1] - before[1])
    }
    this.pointers.set(event.pointerId, spot)
  }

  up(event) {
    const spot = this.spot(event)
    const one = this.pointers.size === 1
    this.cancel(event, true)
    const ring = this.lasso
    this.lasso = null
    if (!one || !this.start) return
    const still = Math.hypot(spot[0] - this.start[0], spot[1] - this.start[1]) <= STILL
    if (ring && ring.length > 2 && !(still && ring.length < 6)) this.choose(this.within(ring))
    else if (still) {
      const i = this.nearest(...spot)
      this.mean(i, spot)
      if (i !== null) this.choose([i])
      else this.drawTop()
    }
  }

  cancel(event, keepsLasso = false) {
    this.pointers.delete(event.pointerId)
    if (!this.pointers.size) this.frame.classList.remove("map-moving")
    if (keepsLasso) return
    this.lasso = null
    this.drawTop()
  }

  key(event) {
    if (event.altKey || event.metaKey || event.ctrlKey) return
    const way = KEYS[event.key]
    if (way) this.pan(-way[0] * 60, way[1] * 60)
    else if (event.key === "+" || event.key === "=") this.zoom(1.3)
    else if (event.key === "-") this.zoom(1 / 1.3)
    else if (event.key === "0") this.whole()
    else if (event.key === "Enter") this.chooseInView()
    else if (event.key === "Escape") {
      this.lasso = null
      this.adds = false
      if (this.chosen.size) this.choose([])
      this.drawTop()
    } else return
    event.preventDefault()
  }

  nearest(x, y) {
    let [best, distance] = [null, NEAR * NEAR]
    for (const i of this.inView) {
      const far = (this.x(i) - x) ** 2 + (this.y(i) - y) ** 2
      if (far < distance) [best, distance] = [i, far]
    }
    return best
  }

  within(ring) {
    return this.inView.filter((i) => isInside(ring, this.x(i), this.y(i)))
  }

  chooseInView() {
    this.adds = false
    this.choose(this.inView)
  }

  choose(places) {
    if (!this.data.selectable) return
    const rows = places.map((i) => this.rows[i])
    this.chosen = new Set(this.adds ? [...this.chosen, ...rows] : rows)
    this.redraw()
    this.trigger("act", { rows: [...this.chosen] })
  }

  /** Shows which picture is meant, or none. */
  async mean(i, spot) {
    if (this.meant === i) return
    this.meant = i
    this.drawTop()
    this.tip.hidden = i === null
    if (i === null) return
    const row = this.rows[i]
    const canvas = element("canvas", { width: TIP * 2, height: TIP * 2 })
    const name = this.data.class_names[this.labels[i]]
    const group = this.data.groups[this.code(i)].title
    const answer = this.frames[this.at].answers
    const facts = [
      answer && answer[i] !== this.labels[i] ? `taken for ${this.data.class_names[answer[i]]}` : null,
      group !== name ? group : null,
      this.splits ? this.data.split_names[this.splits[i]] : null,
      `picture ${row.toLocaleString("en")}`,
    ]
    this.tip.replaceChildren(
      canvas,
      element("strong", {}, name),
      element("span", {}, facts.filter(Boolean).join(" · ")),
    )
    const left = spot[0] + 150 > this.width ? spot[0] - 148 : spot[0] + 16
    const above = spot[1] + 190 > this.height ? spot[1] - 190 : spot[1] + 12
    this.tip.style.left = `${Math.max(2, left)}px`
    this.tip.style.top = `${Math.max(2, above)}px`
    try {
      const picture = await this.pictures.one(row, 128)
      const context = canvas.getContext("2d")
      context.imageSmoothingEnabled = true
      context.drawImage(picture, 0, 0, canvas.width, canvas.height)
    } catch (error) {
      console.debug(error) // the words say which picture it is
    }
  }

  destroy() {
    this.pause()
    this.observer.disconnect()
    this.dark.removeEventListener("change", this.onTheme)
    cancelAnimationFrame(this.waiting)
    cancelAnimationFrame(this.gliding)
  }
}

/** Numbers that came as base64 of little-endian bytes. */
function numbers(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)
}

/** Always the same order, in which neighbours in the data set are far apart. */
function rank(i) {
  return Math.imul(i + 1, 2654435761) >>> 0
}

function isInside(ring, x, y) {
  let inside = false
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [xi, yi] = ring[i]
    const [xj, yj] = ring[j]
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside
  }
  return inside
}

export const render = mounted(PointMap)
