// The data set's pictures as small images, fetched many at a time when a map first needs them.

import { apiUrl } from "./dom.js"

const AT_ONCE = 64 // lab.api.pictures.MOST_PICTURES
const COLUMNS = 8
const SIDE = 64
const MOST_KEPT = 3000
const QUIET = 120 // milliseconds without a new wish before pictures are fetched

export class Pictures {
  /** `arrived` is called when there is something new to draw. */
  constructor(arrived) {
    this.arrived = arrived
    this.small = new Map() // row -> { sheet, x, y, side }
    this.large = new Map() // row -> ImageBitmap
    this.wanted = []
    this.busy = false
    this.failed = ""
  }

  use({ dataset, images }) {
    const from = `${dataset} ${images}`
    if (from === this.from) return
    Object.assign(this, { from, dataset, images, failed: "" })
    this.small.clear()
    this.large.clear()
  }

  address(rows, side) {
    const query = new URLSearchParams({ rows: rows.join(","), side, images: this.images })
    return apiUrl(`datasets/${encodeURIComponent(this.dataset)}/pictures?${query}`)
  }

  async fetchBitmap(rows, side) {
    const answer = await fetch(this.address(rows, side))
    if (!answer.ok) throw new Error((await answer.json()).error)
    return createImageBitmap(await answer.blob())
  }

  /** These rows are on the screen; what is missing is fetched once the map rests. */
  want(rows) {
    this.wanted = rows.filter((row) => !this.small.has(row))
    clearTimeout(this.timer)
    if (this.wanted.length) this.timer = setTimeout(() => this.fetchWanted(), QUIET)
  }

  async fetchWanted() {
    if (this.busy || this.failed) return
    this.busy = true
    const from = this.from
    try {
      while (this.wanted.length && from === this.from) {
        const rows = this.wanted.splice(0, AT_ONCE)
        const sheet = await this.fetchBitmap(rows, SIDE)
        if (from !== this.from) break
        if (this.small.size > MOST_KEPT) this.small.clear()
        rows.forEach((row, place) => {
          const [x, y] = [(place % COLUMNS) * SIDE, Math.floor(place / COLUMNS) * SIDE]
          this.small.set(row, { sheet, x, y, side: SIDE })
        })
        this.arrived()
      }
    } catch (error) {
      this.failed = error.message
      this.arrived()
    } finally {
      this.busy = false
    }
  }

  /** One picture, larger; null while it is on its way. */
  async one(row, side) {
    if (!this.large.has(row)) {
      if (this.large.size > 200) this.large.clear()
      this.large.set(row, await this.fetchBitmap([row], side))
    }
    return this.large.get(row)
  }
}
