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
  const dx = []
  const dy = []
  const rgba = []
  for (let place = 0; place < side * side; place++) {
    const alpha = Math.round(data[4 * place + 3] * strength)
    if (!alpha) continue
    dx.push((place % side) - half)
    dy.push(Math.floor(place / side) - half)
    rgba.push(data[4 * place], data[4 * place + 1], data[4 * place + 2], alpha)
  }
  return { half, dx: Int16Array.from(dx), dy: Int16Array.from(dy), rgba: Uint8Array.from(rgba), width: 0, places: null }
}

/** Opaque pixels to stamp marks on. */
export class Sheet {
  constructor(width, height) {
    this.width = width
    this.height = height
    this.image = new ImageData(width, height)
    this.bytes = this.image.data
    this.words = new Uint32Array(this.bytes.buffer)
  }

  clear([red, green, blue]) {
    this.words.fill((255 << 24) | (blue << 16) | (green << 8) | red)
  }

  stamp(stamp, x, y) {
    const { width, height, bytes } = this
    const { half, dx, dy, rgba } = stamp
    if (x < -half || y < -half || x >= width + half || y >= height + half) return
    const inside = x >= half && y >= half && x < width - half && y < height - half
    if (stamp.width !== width) {
      stamp.width = width
      stamp.places = Int32Array.from(dx, (d, i) => 4 * (dy[i] * width + d))
    }
    const { places } = stamp
    const base = 4 * (y * width + x)
    for (let i = 0, c = 0; i < places.length; i++, c += 4) {
      if (!inside) {
        const px = x + dx[i]
        const py = y + dy[i]
        if (px < 0 || py < 0 || px >= width || py >= height) continue
      }
      const at = base + places[i]
      const alpha = rgba[c + 3]
      if (alpha === 255) {
        bytes[at] = rgba[c]
        bytes[at + 1] = rgba[c + 1]
        bytes[at + 2] = rgba[c + 2]
      } else {
        bytes[at] += ((rgba[c] - bytes[at]) * alpha) >> 8
        bytes[at + 1] += ((rgba[c + 1] - bytes[at + 1]) * alpha) >> 8
        bytes[at + 2] += ((rgba[c + 2] - bytes[at + 2]) * alpha) >> 8
      }
    }
  }
}

/** "#rrggbb" or "rgb(r, g, b)" as three numbers. */
export function channels(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d")
  context.fillStyle = colour
  context.fillRect(0, 0, 1, 1)
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
}
