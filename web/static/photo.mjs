// A photo for the model: all pixels, upright, in sRGB, transparency over white, three bytes per pixel.
const STRIP = 256; // rows at a time: phones limit the area of a canvas

export const readPhoto = async (file) => pixels(await decode(file));

export const decode = (file) => createImageBitmap(file, { imageOrientation: "from-image" });

/** The pixels of a bitmap. Closes the bitmap. */
export function pixels(bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, Math.min(STRIP, height));
  const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
  const rgb = new Uint8Array(width * height * 3);
  for (let top = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    dropAlpha(context.getImageData(0, 0, width, rows).data, rgb.subarray(top * width * 3));
  }
  bitmap.close();
  return { rgb, width, height };
}

function dropAlpha(rgba, rgb) {
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
}
