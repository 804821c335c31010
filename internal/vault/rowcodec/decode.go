package rowcodec

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"

	"allod"
)

// errForm says only that: the bytes are content and never shown.
var errForm = allod.Errorf(allod.Corrupt, "decode a row: not well formed")

// decoder reads from b; anything wrong sets bad and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || w > 1 && d.b[w-1] == 0 { // the shortest form only
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	n := int64(u >> 1)
	if u&1 != 0 {
		n = ^n
	}
	return n
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func (d *decoder) guid() (g allod.GUID) {
	copy(g[:], d.take(16))
	return g
}

// Decode reads what Append wrote. It never panics on foreign bytes; they are
// Corrupt. The values share nothing with b.
func Decode(b []byte, names *Names) ([]allod.Value, error) {
	d := &decoder{b: b}
	n := d.uvarint()
	if d.bad || n > MaxCells {
		return nil, errForm
	}
	cells := make([]allod.Value, 0, n)
	for uint64(len(cells)) < n && !d.bad {
		code := d.byte()
		switch code {
		case cAbsentRun, cNullRun:
			run := d.uvarint()
			if run < 2 || run > n-uint64(len(cells)) {
				return nil, errForm
			}
			v := allod.Value{}
			if code == cNullRun {
				v = allod.NullValue()
			}
			for range run {
				cells = append(cells, v)
			}
		default:
			cells = append(cells, d.value(code, names))
		}
	}
	if d.bad || len(d.b) != 0 || n > 0 && cells[n-1].IsAbsent() {
		return nil, errForm
	}
	return cells, nil
}

func (d *decoder) value(code byte, names *Names) allod.Value {
	switch code {
	case cAbsent:
		return allod.Value{}
	case cNull:
		return allod.NullValue()
	case cString:
		return allod.StringValue(d.text())
	case cInteger:
		return allod.IntegerValue(d.varint())
	case cFalse:
		return allod.BooleanValue(false)
	case cTrue:
		return allod.BooleanValue(true)
	case cID:
		return allod.IDValue(d.guid())
	case cLookup:
		i := d.uvarint()
		if i >= uint64(len(names.list)) {
			d.bad = true
			return allod.Value{}
		}
		return allod.LookupValue(names.list[i], d.guid())
	case cLookupText:
		table := d.text()
		return allod.LookupValue(table, d.guid())
	case cDecimal:
		scale := d.byte()
		if scale > 18 {
			d.bad = true
		}
		return allod.TextValue(allod.Decimal, decimalText(d.varint(), int(scale)))
	case cDouble:
		raw := d.take(8)
		if raw == nil {
			return allod.Value{}
		}
		return allod.TextValue(allod.Double, doubleText(math.Float64frombits(binary.BigEndian.Uint64(raw))))
	case cTime, cTimeFraction, cDate:
		return d.moment(code)
	case cFile:
		return d.file()
	default:
		return d.textual(code)
	}
}

func (d *decoder) textual(code byte) allod.Value {
	switch code {
	case cDecimalText:
		return allod.TextValue(allod.Decimal, d.text())
	case cDoubleText:
		return allod.TextValue(allod.Double, d.text())
	case cTimeText:
		return allod.TextValue(allod.DateTime, d.text())
	case cDateText:
		return allod.TextValue(allod.Date, d.text())
	case cChoices:
		return allod.TextValue(allod.Choices, d.text())
	case cJSON:
		return allod.TextValue(allod.JSON, d.text())
	case cBinary:
		return allod.TextValue(allod.Binary, base64.StdEncoding.EncodeToString(d.take(d.uvarint())))
	case cBinaryText:
		return allod.TextValue(allod.Binary, d.text())
	case cFileText:
		var f allod.FileRef
		if json.Unmarshal([]byte(d.text()), &f) != nil {
			d.bad = true
		}
		return allod.FileValue(f)
	}
	d.bad = true
	return allod.Value{}
}

// Bounds of years 0 and 9999 in seconds since 1970.
const (
	minSeconds = -62167219200
	maxSeconds = 253402300799
)

func (d *decoder) moment(code byte) allod.Value {
	digits := 0
	if code == cTimeFraction {
		digits = int(d.byte())
		if digits < 1 || digits > 9 {
			d.bad = true
			return allod.Value{}
		}
	}
	at := d.varint()
	nano := uint64(0)
	if code == cTimeFraction {
		nano = d.uvarint()
	}
	seconds := at
	if code == cDate {
		if at < minSeconds/86400 || at > maxSeconds/86400 {
			d.bad = true
			return allod.Value{}
		}
		seconds = at * 86400
	}
	if seconds < minSeconds || seconds > maxSeconds || nano > 999_999_999 {
		d.bad = true
		return allod.Value{}
	}
	if code == cDate {
		return allod.TextValue(allod.Date, dateText(at))
	}
	return allod.TextValue(allod.DateTime, timeText(at, digits, nano))
}

func (d *decoder) file() allod.Value {
	f := allod.FileRef{SourceID: d.text(), Name: d.text(), MIME: d.text(), Content: d.text()}
	size := d.uvarint()
	if size > math.MaxInt64 {
		d.bad = true
		return allod.Value{}
	}
	f.Size = int64(size)
	switch d.byte() {
	case 0:
	case 32:
		f.SHA256 = hex.EncodeToString(d.take(32))
	default:
		d.bad = true
	}
	return allod.FileValue(f)
}
