// Small marks, thousands of them: each is drawn once, and then its pixels are copied. On the
// machines that we tried this is quicker than drawing on the canvas, and it asks for no GPU.

const PATHS = {
  circle(path, r) {
    path.arc(0, 0, r, 0, 2 * Math.PI)
  },
  square(path, r) {
    path.rect(-r * 0.88, -r * 0.88, r * 1.76, r * 1.76)
  },
  triangle(path, r) {
    polygon(path, [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]], r)
  },
  diamond(path, r) {
    polygon(path, [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]], r)
  },
  cross(path, r) {
    const a = 0.42
    polygon(
      path,
      [[-a, -1.2], [a, -1.2], [a, -a], [1.2, -a], [1.2, a], [a, a], [a, 1.2], [-a, 1.2], [-a, a],
        [-1.2, a], [-1.2, -a], [-a, -a]],
      r,
    )
  },
}

function polygon(path, corners, r) {
  corners.forEach(([x, y], i) => (i ? path.lineTo(x * r, y * r) : path.moveTo(x * r, y * r)))
  path.closePath()
}

/** Draws one mark around the context's origin. */
export function drawMark(context, shape, radius, colour, edge) {
  const path = new Path2D()
  PATHS[shape](path, radius)
  if (edge) {
    context.strokeStyle = edge
    context.lineWidth = Math.max(1, radius * 0.45)
    context.stroke(path)
  }
  context.fillStyle = colour
  context.fill(path)
}

/** The pixels of a mark, for `Sheet.stamp`. */
export function makeStamp(shape, radius, colour, edge, strength) {
  const half = Math.ceil(radius * 1.5) + 1
  const side = 2 * half + 1
  const canvas = new OffscreenCanvas(side, side)
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.translate(half + 0.5, half + 0.5)
  drawMark(context, shape, radius, colour, edge)
  const { data } = context.getImageData(0, 0, side, side)
  const pixels = []
  for (let place = 0; place < side * side; place++) {
    const [red, green, blue, opacity] = data.subarray(4 * place, 4 * place + 4)
    const alpha = Math.round(opacity * strength)
    if (alpha < 6) continue
    const at = [(place % side) - half, Math.floor(place / side) - half]
    pixels.push({ at, alpha, word: ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0 })
  }
  pixels.sort((a, b) => b.alpha - a.alpha) // the opaque ones first: they need no look at what is below
  return {
    half,
    dx: Int16Array.from(pixels, ({ at }) => at[0]),
    dy: Int16Array.from(pixels, ({ at }) => at[1]),
    words: Uint32Array.from(pixels, ({ word }) => word),
    opaque: pixels.filter(({ alpha }) => alpha > 250).length,
    width: 0,
    places: null,
  }
}

/** Opaque pixels to stamp marks on. */
export class Sheet {
  constructor(width, height) {
    this.width = width
    this.height = height
    this.image = new ImageData(width, height)
    this.words = new Uint32Array(this.image.data.buffer)
  }

  clear([red, green, blue]) {
    this.words.fill((255 << 24) | (blue << 16) | (green << 8) | red)
  }

  stamp(stamp, x, y) {
    const { width, height, words } = this
    const { half, dx, dy, opaque } = stamp
    if (x < -half || y < -half || x >= width + half || y >= height + half) return
    if (stamp.width !== width) {
      stamp.width = width
      stamp.places = Int32Array.from(dx, (d, i) => dy[i] * width + d)
    }
    const { places, words: own } = stamp
    const base = y * width + x
    if (x >= half && y >= half && x < width - half && y < height - half) {
      for (let i = 0; i < opaque; i++) words[base + places[i]] = own[i]
      for (let i = opaque; i < own.length; i++) words[base + places[i]] = over(own[i], words[base + places[i]])
      return
    }
    for (let i = 0; i < own.length; i++) {
      const px = x + dx[i]
      const py = y + dy[i]
      if (px < 0 || py < 0 || px >= width || py >= height) continue
      words[base + places[i]] = i < opaque ? own[i] | 0xff000000 : over(own[i], words[base + places[i]])
    }
  }
}

/** A pixel with its alpha laid over an opaque one: red and blue at once, then green. */
function over(word, below) {
  const alpha = (word >>> 24) + 1
  const red_blue = (((word & 0xff00ff) * alpha + (below & 0xff00ff) * (256 - alpha)) >>> 8) & 0xff00ff
  const green = (((word & 0xff00) * alpha + (below & 0xff00) * (256 - alpha)) >>> 8) & 0xff00
  return (0xff000000 | red_blue | green) >>> 0
}

const known = new Map()

/** "#rrggbb" or "rgb(r, g, b)" as three numbers. */
export function channels(colour) {
  if (!known.has(colour)) {
    const context = new OffscreenCanvas(1, 1).getContext("2d")
    context.fillStyle = colour
    context.fillRect(0, 0, 1, 1)
    known.set(colour, [...context.getImageData(0, 0, 1, 1).data].slice(0, 3))
  }
  return known.get(colour)
}
