package platform

import (
	"encoding/base64"
	"net/http"
	"strconv"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/picture"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// image makes the file, in Base64, the image of the row: the column gets the
// thumbnail, its siblings id, time and address (protocols/dataverse.md §8.3).
// The file itself is kept where the column can store full images. Null takes
// the image away.
func (a *Act) image(t *entity.Table, id allod.GUID, r row, c *entity.Column, v allod.Value) error {
	a.Tx.DeleteBlob(a.get(t, r, c.LogicalName+"id").GUID())
	set := func(part string, v allod.Value) { a.set(t, r, c.LogicalName+part, v) }
	if v.IsNull() {
		for _, part := range []string{"", "id", "_timestamp", "_url"} {
			set(part, v)
		}
		return nil
	}
	failed := func(format string, args ...any) error {
		return wire.Refuse(http.StatusBadRequest, "0x80072553", "Error occured when processing image. Reason: "+format, args...)
	}
	file, err := base64.StdEncoding.DecodeString(v.Text())
	if err != nil {
		return failed("the value is no Base64.")
	}
	limit := c.MaxSizeKB
	if limit == 0 {
		limit = 10240
	}
	if len(file) > limit<<10 {
		return failed("File size is too big. MaxSize: %d MB, Uploaded filesize: %d MB.", limit>>10, len(file)>>20)
	}
	p, err := picture.Read(file)
	if err != nil {
		return failed("Update image properties failed for objectid: %v, logicalName: %s, attribute: %s", id, t.LogicalName, c.LogicalName)
	}
	imageID, ticks := a.NewID(), a.Now.UnixNano()/100
	if c.FullImage {
		a.Tx.PutBlob(imageID, store.NewBlob(c.LogicalName+"."+p.Format, "image/"+p.Format, file))
	}
	set("", allod.TextValue(allod.Binary, base64.StdEncoding.EncodeToString(p.Thumbnail)))
	set("id", allod.IDValue(imageID))
	set("_timestamp", allod.IntegerValue(ticks))
	set("_url", allod.StringValue("/Image/download.aspx?Entity="+t.LogicalName+"&Attribute="+c.LogicalName+"&Id="+imageID.String()+"&Timestamp="+strconv.FormatInt(ticks, 10)))
	return nil
}

// SetImage makes the file the image of the row, and returns its id.
func (a *Act) SetImage(t *entity.Table, id allod.GUID, c *entity.Column, file []byte) (allod.GUID, error) {
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return allod.GUID{}, wire.NoRow(t.LogicalName, id.String())
	}
	r := a.load(old)
	if err := a.image(t, id, r, c, allod.TextValue(allod.Binary, base64.StdEncoding.EncodeToString(file))); err != nil {
		return allod.GUID{}, err
	}
	a.stampChanged(t, r)
	a.put(t, id, r)
	return a.get(t, r, c.LogicalName+"id").GUID(), nil
}
