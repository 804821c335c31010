package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"allod"
)

// drawn is red in its middle third, else blue, and marked green in the corners.
func drawn(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{B: 255, A: 255}
			if 3*x >= w && 3*x < 2*w && 3*y >= h && 3*y < 2*h {
				c = color.RGBA{R: 255, A: 255}
			}
			img.Set(x, y, c)
		}
	}
	img.Set(0, 0, color.RGBA{G: 255, A: 255})
	return img
}

func TestThumbnails(t *testing.T) {
	for _, tc := range []struct {
		w, h, side int
		same       bool
	}{
		{300, 428, 144, false}, {91, 130, 91, false}, // the examples of the documentation
		{1, 1, 1, true}, {144, 144, 144, true}, {145, 145, 144, false}, {400, 40, 144, false}, {3, 2000, 144, false},
	} {
		var file bytes.Buffer
		if err := png.Encode(&file, drawn(tc.w, tc.h)); err != nil {
			t.Fatal(err)
		}
		p, err := Read(file.Bytes())
		if err != nil || p.Format != "png" {
			t.Fatalf("%d × %d: got %q, %v", tc.w, tc.h, p.Format, err)
		}
		if same := bytes.Equal(p.Thumbnail, file.Bytes()); same != tc.same {
			t.Errorf("%d × %d: the thumbnail is the file: got %v", tc.w, tc.h, same)
		}
		img, _, err := image.Decode(bytes.NewReader(p.Thumbnail))
		if err != nil || img.Bounds().Dx() != tc.side || img.Bounds().Dy() != tc.side {
			t.Fatalf("%d × %d: got %v, %v", tc.w, tc.h, img.Bounds(), err)
		}
		again, err := Read(p.Thumbnail)
		if err != nil || !bytes.Equal(again.Thumbnail, p.Thumbnail) {
			t.Errorf("%d × %d: a thumbnail has another thumbnail: %v", tc.w, tc.h, err)
		}
		if tc.w < 9 || tc.h < 9 {
			continue
		}
		if r, _, b, _ := img.At(tc.side/2, tc.side/2).RGBA(); r < 0xd000 || b > 0x3000 {
			t.Errorf("%d × %d: the middle is not red: %x %x", tc.w, tc.h, r, b)
		}
	}
}

func TestFormats(t *testing.T) {
	var j, g bytes.Buffer
	if err := jpeg.Encode(&j, drawn(200, 100), nil); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&g, drawn(200, 100), nil); err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string][]byte{"jpeg": j.Bytes(), "gif": g.Bytes()} {
		if p, err := Read(file); err != nil || p.Format != want {
			t.Errorf("%s: got %q, %v", want, p.Format, err)
		}
	}
}

// A small file that claims 60,000 × 60,000 pixels is refused without room
// being made for them, which would be 14 GB.
func TestRefused(t *testing.T) {
	var file bytes.Buffer
	if err := png.Encode(&file, drawn(5, 5)); err != nil {
		t.Fatal(err)
	}
	bomb := bytes.Clone(file.Bytes())
	binary.BigEndian.PutUint32(bomb[16:], 60_000)
	binary.BigEndian.PutUint32(bomb[20:], 60_000)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("no image"), "cut short": file.Bytes()[:len(file.Bytes())-20], "head alone": file.Bytes()[:33],
		"too large": bomb, "BMP": []byte("BM......"),
	} {
		if _, err := Read(b); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
