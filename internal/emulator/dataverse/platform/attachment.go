package platform

import (
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/attachment"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

// attached reports whether the column holds a file as Base64 text.
func attached(t *entity.Table, column string) bool {
	return t.LogicalName == "annotation" && column == "documentbody" || t.LogicalName == "activitymimeattachment" && column == "body"
}

// attachment refuses a note or an attachment that the settings of the
// organisation do not let in (§8.1), where the payload says something of its
// file.
func (a *Act) attachment(t *entity.Table, r row, p *wire.Payload) error {
	if t.LogicalName != "annotation" && t.LogicalName != "activitymimeattachment" {
		return nil
	}
	for _, v := range p.Values {
		switch name := v.Column.LogicalName; {
		case attached(t, name):
			if err := attachment.Fits(a.Tx, len(v.Value.Text())); err != nil {
				return err
			}
		case name != "filename" && name != "mimetype":
			continue
		}
		if err := attachment.Allowed(a.Tx, a.get(t, r, "filename").Text(), a.get(t, r, "mimetype").Text()); err != nil {
			return err
		}
	}
	return nil
}

// mayCreate refuses values of a new row that only some users may set, or that
// no row is created with: a date of creation in the past (§6.7), and an image
// in another than the primary column (§8.3).
func (a *Act) mayCreate(t *entity.Table, p *wire.Payload) error {
	for _, v := range p.Values {
		if v.Value.IsNull() {
			continue
		}
		if v.Column.LogicalName == "overriddencreatedon" && a.Need != nil {
			if err := a.Need("prvOverrideCreatedOnCreatedBy"); err != nil {
				return err
			}
		}
		if v.Column.Kind == "Image" && t.PrimaryImage != "" && v.Column.LogicalName != t.PrimaryImage {
			return wire.Refuse(http.StatusBadRequest, "0x80090487", "The image column '%s' is not the primary image of '%s' and cannot be set when a row is created.", v.Column.LogicalName, t.LogicalName)
		}
	}
	return nil
}

// Attach keeps what a note or an attachment that came by blocks holds.
func (a *Act) Attach(t *entity.Table, id allod.GUID, body, text string, size int64) error {
	if err := attachment.Fits(a.Tx, len(text)); err != nil {
		return err
	}
	return a.Patch(t, id, map[string]allod.Value{body: allod.StringValue(text), "filesize": allod.IntegerValue(size)})
}
