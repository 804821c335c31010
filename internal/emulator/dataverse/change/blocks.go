package change

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/attachment"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// bodyActions are the block messages of notes and attachments
// (protocols/dataverse.md §8.1): the content becomes Base64 text of the row.
func bodyActions(m map[string]func(Writer) (object, error)) {
	for _, k := range []struct{ name, table, body, id string }{
		{"Annotation", "annotation", "documentbody", "AnnotationId"},
		{"Attachment", "activitymimeattachment", "body", "ActivityMimeAttachmentId"},
	} {
		m["Initialize"+k.name+"BlocksUpload"] = func(c Writer) (object, error) { return c.beginBody(k.table) }
		m["Commit"+k.name+"BlocksUpload"] = func(c Writer) (object, error) { return c.commitBody(k.table, k.body, k.id) }
		m["Initialize"+k.name+"BlocksDownload"] = func(c Writer) (object, error) { return c.readBody(k.table, k.body) }
	}
}

func (c Writer) bodyTarget(table string, raw json.RawMessage) (*entity.Table, *wire.Payload, error) {
	t := c.Schema.Model.Table(table)
	if t == nil {
		return nil, nil, wire.NoSegment(c.Req.Path[0].Name)
	}
	p, err := wire.ParsePayload(c.Schema, t, raw)
	return t, p, err
}

func (c Writer) beginBody(table string) (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	t, p, err := c.bodyTarget(table, b.Target)
	if err != nil {
		return nil, err
	}
	return object{"FileContinuationToken": c.uploads.keep(&upload{table: t, row: p.Key, blocks: map[string][]byte{}})}, nil
}

func (c Writer) commitBody(table, body, idName string) (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	u, err := c.uploads.of(b.FileContinuationToken)
	if err != nil {
		return nil, err
	}
	t, p, err := c.bodyTarget(table, b.Target)
	if err != nil {
		return nil, err
	}
	data, err := c.uploads.assemble(u, b.BlockList)
	if err != nil {
		return nil, err
	}
	id := p.Key
	err = c.Update(func(a *platform.Act) error {
		if !a.Exists(t, id) {
			if id, err = a.Create(t, id, p); err != nil {
				return err
			}
		} else if table == "activitymimeattachment" {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The message creates attachments only.")
		} else if err := a.Update(t, id, p); err != nil {
			return err
		}
		return a.Attach(t, id, body, base64.StdEncoding.EncodeToString(data), int64(len(data)))
	})
	if err != nil {
		return nil, err
	}
	c.uploads.end(b.FileContinuationToken)
	return object{idName: id.String(), "FileSizeInBytes": len(data)}, nil
}

func (c Writer) readBody(table, body string) (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	t, p, err := c.bodyTarget(table, b.Target)
	if err != nil {
		return nil, err
	}
	u := &upload{table: t, row: p.Key}
	err = c.View(func(tx *store.Tx) error {
		r := tx.Get(table, p.Key)
		if r == nil {
			return wire.NoRow(table, p.Key.String())
		}
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(tx.Value(table, r, body).Text()))
		if err != nil {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The content of the row is not Base64.")
		}
		name := tx.Value(table, r, "filename").Text()
		u.read = store.NewBlob(name, attachment.TypeOf(name), data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"FileContinuationToken": c.uploads.keep(u), "FileSizeInBytes": u.read.Size, "FileName": u.read.Name}, nil
}

// assemble puts the blocks together in the order of the list.
func (s *Uploads) assemble(u *upload, list []string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data []byte
	for _, id := range list {
		block, ok := u.blocks[id]
		if !ok {
			return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "A block of the list was not uploaded.")
		}
		data = append(data, block...)
	}
	return data, nil
}
