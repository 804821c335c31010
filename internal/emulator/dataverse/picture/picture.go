// Package picture reads what image columns hold and makes their thumbnails
// (protocols/dataverse.md §8.3; Use image column data in Microsoft Dataverse).
// It reads PNG, JPEG and GIF; BMP and TIFF, which the service takes too, are
// refused here.
package picture

import (
	"bytes"
	"image"
	_ "image/gif" // a format that is read
	"image/jpeg"
	_ "image/png" // as above

	"allod"
)

// Side is how many pixels a thumbnail is high and wide at most.
const Side = 144

// maxPixels is the largest picture that is read; a file of a few bytes can
// claim to be of any size. The service's own limit is not documented.
const maxPixels = 1 << 25

// Picture is an image and its thumbnail.
type Picture struct {
	Format    string // png, jpeg or gif
	Thumbnail []byte // a file too
}

// Read reads an image file. What is none, or claims to be larger than can be
// read, is Invalid.
//
// The thumbnail is the square in the middle: of 144 pixels where a side of the
// image is longer, else of its shorter side. One that needs neither cropping
// nor resizing is the file itself, else it is a JPEG; both are assumed, the
// documentation shows JPEG files.
func Read(file []byte) (Picture, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return Picture{}, allod.Errorf(allod.Invalid, "read image: %w", err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return Picture{}, allod.Errorf(allod.Invalid, "read image: %d × %d pixels are too many or none", c.Width, c.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return Picture{}, allod.Errorf(allod.Invalid, "read image: %w", err)
	}
	out := Picture{Format: format, Thumbnail: file}
	b := img.Bounds()
	if b.Dx() == b.Dy() && b.Dx() <= Side {
		return out, nil
	}
	var small bytes.Buffer
	if err := jpeg.Encode(&small, shrink(img), &jpeg.Options{Quality: 90}); err != nil {
		return Picture{}, allod.Errorf(allod.Invalid, "make thumbnail: %w", err)
	}
	out.Thumbnail = small.Bytes()
	return out, nil
}

// shrink cuts the square in the middle out of the image and resizes it, each
// pixel the mean of those it stands for.
func shrink(img image.Image) image.Image {
	b := img.Bounds()
	square := min(b.Dx(), b.Dy())
	side := square
	if max(b.Dx(), b.Dy()) > Side {
		side = Side
	}
	left, top := b.Min.X+(b.Dx()-square)/2, b.Min.Y+(b.Dy()-square)/2
	out := image.NewRGBA64(image.Rect(0, 0, side, side))
	span := func(i int) (from, to int) {
		from = i * square / side
		return from, max(from+1, (i+1)*square/side)
	}
	for y := range side {
		y0, y1 := span(y)
		for x := range side {
			x0, x1 := span(x)
			var sum [4]uint64
			for v := y0; v < y1; v++ {
				for u := x0; u < x1; u++ {
					r, g, b, a := img.At(left+u, top+v).RGBA()
					sum[0], sum[1], sum[2], sum[3] = sum[0]+uint64(r), sum[1]+uint64(g), sum[2]+uint64(b), sum[3]+uint64(a)
				}
			}
			n := uint64((y1 - y0) * (x1 - x0))
			at := out.PixOffset(x, y)
			for i, s := range sum {
				mean := s / n
				out.Pix[at+2*i], out.Pix[at+2*i+1] = byte(mean>>8), byte(mean)
			}
		}
	}
	return out
}
