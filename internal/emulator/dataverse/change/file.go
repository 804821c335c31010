package change

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/attachment"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

const (
	chunkBytes = 4 << 20   // x-ms-chunk-size
	singleMax  = 128 << 20 // largest upload in one request (protocols/dataverse.md §8.2)
)

// Uploads are the files on their way to and from an organisation, by the token
// a client continues with. The methods of writers that share them may be called
// concurrently.
type Uploads struct {
	mu    sync.Mutex
	newID func() allod.GUID
	open  map[string]*upload
}

// NewUploads returns no uploads; newID makes their tokens.
func NewUploads(newID func() allod.GUID) *Uploads {
	return &Uploads{newID: newID, open: map[string]*upload{}}
}

// upload is a file on its way, by chunks or blocks.
type upload struct {
	table  *entity.Table
	row    allod.GUID
	column *entity.Column
	name   string
	data   []byte
	blocks map[string][]byte
	read   *store.Blob // of a download
	size   int64       // of a file whose chunks have all come; its data is gone from here
}

// File answers a file or image column (§8.2, §8.3).
func (c Writer) File(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*request.Reply, error) {
	c.Count("file", t)
	c.Charge(func(m *protect.Cost) time.Duration { return m.Chunk.Of(1) })
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return c.download(t, seg, col, raw)
	case http.MethodPatch, http.MethodPut:
		return c.upload(t, seg, col)
	case http.MethodDelete:
		err := c.Update(func(a *platform.Act) error {
			id, err := a.Key(t, seg)
			if err != nil {
				return err
			}
			return c.dropFile(a, t, id, col)
		})
		return &request.Reply{Status: http.StatusNoContent}, err
	}
	return nil, c.NoMethod()
}

// blobColumn is the column that holds the id of the content.
func blobColumn(col *entity.Column) string {
	if col.Kind == "Image" {
		return col.LogicalName + "id"
	}
	return col.LogicalName
}

func (c Writer) dropFile(a *platform.Act, t *entity.Table, id allod.GUID, col *entity.Column) error {
	r := a.Tx.Get(t.LogicalName, id)
	if r == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	a.Tx.DeleteBlob(a.Tx.Value(t.LogicalName, r, blobColumn(col)).GUID())
	return a.Patch(t, id, map[string]allod.Value{
		blobColumn(col): allod.NullValue(), col.LogicalName: allod.NullValue(),
		col.LogicalName + "_timestamp": allod.NullValue(), col.LogicalName + "_url": allod.NullValue(),
	})
}

// keepFile makes the bytes the content of the column.
func (c Writer) keepFile(a *platform.Act, t *entity.Table, id allod.GUID, col *entity.Column, name, mime string, data []byte) (allod.GUID, error) {
	limit := col.MaxSizeKB
	if limit == 0 {
		limit = 32768
	}
	if len(data) > limit<<10 && col.Kind == "File" {
		return allod.GUID{}, wire.Refuse(http.StatusBadRequest, "0x80044a02", "Attachment file size is too big. The file size exceeded the maximum allowed size of %d KB.", limit)
	}
	if err := attachment.Allowed(a.Tx, name, mime); err != nil {
		return allod.GUID{}, err
	}
	if col.Kind == "Image" {
		return a.SetImage(t, id, col, data)
	}
	r := a.Tx.Get(t.LogicalName, id)
	if r == nil {
		return allod.GUID{}, wire.NoRow(t.LogicalName, id.String())
	}
	a.Tx.DeleteBlob(a.Tx.Value(t.LogicalName, r, col.LogicalName).GUID())
	fileID := c.Org.NewID()
	a.Tx.PutBlob(fileID, store.NewBlob(name, mime, data))
	return fileID, a.Patch(t, id, map[string]allod.Value{col.LogicalName: allod.IDValue(fileID)})
}

func (c Writer) fileName() string {
	if name, ok := c.Req.Options.Get("x-ms-file-name"); ok {
		return name
	}
	return c.Header.Get("x-ms-file-name")
}

// upload takes a whole file, begins a chunked one, or takes a chunk.
func (c Writer) upload(t *entity.Table, seg *query.Segment, col *entity.Column) (*request.Reply, error) {
	if token, ok := c.Req.Options.Get("sessiontoken"); ok {
		return c.chunk(token)
	}
	var id allod.GUID
	err := c.Update(func(a *platform.Act) error {
		var err error
		if id, err = a.Key(t, seg); err != nil {
			return err
		}
		if !a.Exists(t, id) {
			return wire.NoRow(t.LogicalName, id.String())
		}
		if c.Header.Get("x-ms-transfer-mode") == "chunked" {
			return nil
		}
		body := c.Body
		if c.Header.Get("Content-Type") != "application/octet-stream" {
			// PUT of an image as a property: {"value":"<base64>"}.
			var v struct{ Value *string }
			if json.Unmarshal(c.Body, &v) != nil {
				return wire.BadPayload("The content type must be application/octet-stream.")
			}
			if v.Value == nil {
				return c.dropFile(a, t, id, col)
			}
			if body, err = base64.StdEncoding.DecodeString(*v.Value); err != nil {
				return wire.Refuse(http.StatusBadRequest, "0x80072553", "Invalid file content.")
			}
		}
		if len(body) > singleMax {
			return wire.Refuse(http.StatusBadRequest, "0x80044a02", "The file is too large for one request.")
		}
		_, err = c.keepFile(a, t, id, col, c.fileName(), attachment.TypeOf(c.fileName()), body)
		return err
	})
	if err != nil || c.Header.Get("x-ms-transfer-mode") != "chunked" {
		return &request.Reply{Status: http.StatusNoContent}, err
	}
	if err := c.inChunks(); err != nil {
		return nil, err
	}
	token := c.uploads.keep(&upload{table: t, row: id, column: col, name: c.fileName()})
	path, _, _ := strings.Cut(c.URL, "?")
	h := http.Header{}
	h.Set("Location", c.Root+"/"+path+"?sessiontoken="+url.QueryEscape(token))
	h.Set("x-ms-chunk-size", strconv.Itoa(chunkBytes))
	h.Set("Accept-Ranges", "bytes")
	return &request.Reply{Status: http.StatusOK, Header: h}, nil
}

func (s *Uploads) keep(u *upload) string {
	token := s.newID().String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[token] = u
	return token
}

func (s *Uploads) of(token string) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.open[token]; u != nil {
		return u, nil
	}
	return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The file continuation token is not valid.")
}

// whole forgets the data of an upload whose chunks have all come, and keeps its
// size, for clients that send an empty or repeated chunk behind the last
// (§14.2).
func (s *Uploads) whole(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.size, u.data = int64(len(u.data)), nil
}

func (s *Uploads) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, token)
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,12})-(\d{1,12})/(\d{1,12})$`)

// chunk takes one chunk; the last one stores the file. A chunk that was taken
// already is taken for granted, for clients that repeat the last (§14.2).
func (c Writer) chunk(token string) (*request.Reply, error) {
	u, err := c.uploads.of(token)
	if err != nil {
		return nil, err
	}
	m := contentRange.FindStringSubmatch(c.Header.Get("Content-Range"))
	if m == nil {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The header Content-Range is missing or invalid.")
	}
	from, _ := strconv.ParseInt(m[1], 10, 64) // at most 12 digits
	to, _ := strconv.ParseInt(m[2], 10, 64)   // as above
	total, _ := strconv.ParseInt(m[3], 10, 64)
	c.uploads.mu.Lock()
	if u.size > 0 && u.size == total && to < total && to-from+1 == int64(len(c.Body)) {
		c.uploads.mu.Unlock()
		return &request.Reply{Status: http.StatusNoContent}, nil
	}
	have := max(int64(len(u.data)), u.size)
	ok := u.size == 0 && to-from+1 == int64(len(c.Body)) && from <= have && to < total
	if ok && from == have {
		u.data = append(u.data, c.Body...)
	}
	complete := ok && int64(len(u.data)) == total
	c.uploads.mu.Unlock()
	if !ok {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The chunk does not continue the file: it starts at %d of %d bytes received.", from, have)
	}
	if !complete {
		return &request.Reply{Status: http.StatusPartialContent}, nil
	}
	name := u.name
	if n := c.fileName(); n != "" {
		name = n
	}
	err = c.Update(func(a *platform.Act) error {
		_, err := c.keepFile(a, u.table, u.row, u.column, name, attachment.TypeOf(name), u.data)
		return err
	})
	c.uploads.whole(u)
	return &request.Reply{Status: http.StatusNoContent}, err
}

// download answers GET of the content: raw with ranges, else as JSON.
func (c Writer) download(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*request.Reply, error) {
	var blob *store.Blob
	var thumb string
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		if secret := access.Hidden(tx, c.User, e.Table); secret != nil && secret(col) {
			return wire.Refuse(http.StatusForbidden, "0x80040220", "The column is secured.")
		}
		blob = tx.Blob(tx.Value(e.Table.LogicalName, e.Row, blobColumn(col)).GUID())
		if col.Kind == "Image" {
			thumb = tx.Value(e.Table.LogicalName, e.Row, col.LogicalName).Text()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if col.Kind == "Image" {
		size, _ := c.Req.Options.Get("size")
		if size != "full" {
			blob = nil
		}
		if size != "full" && thumb != "" {
			bytes, err := base64.StdEncoding.DecodeString(thumb)
			if err != nil {
				return nil, fmt.Errorf("decode thumbnail: %w", err)
			}
			format := http.DetectContentType(bytes)
			blob = store.NewBlob(col.LogicalName+"."+strings.TrimPrefix(format, "image/"), format, bytes)
		}
		if blob == nil {
			return &request.Reply{Status: http.StatusNoContent}, nil
		}
	}
	if blob == nil {
		return nil, wire.Refuse(http.StatusNotFound, "0x80040217", "No file attachment found for attribute: %s EntityId: %v.", col.LogicalName, seg.Name)
	}
	return c.sendBlob(blob, raw)
}

var byteRange = regexp.MustCompile(`^bytes=(\d{1,12})-(\d{0,12})$`)

func (c Writer) sendBlob(blob *store.Blob, raw bool) (*request.Reply, error) {
	h := http.Header{}
	h.Set("x-ms-file-name", blob.Name)
	h.Set("x-ms-file-size", strconv.FormatInt(blob.Size, 10))
	h.Set("mimetype", blob.MIME)
	h.Set("Accept-Ranges", "bytes")
	out := &request.Reply{Status: http.StatusOK, Header: h, Type: "application/octet-stream"}
	from, n := int64(0), blob.Size
	if m := byteRange.FindStringSubmatch(c.Header.Get("Range")); m != nil {
		from, _ = strconv.ParseInt(m[1], 10, 64) // at most 12 digits
		to := blob.Size - 1
		if m[2] != "" {
			to, _ = strconv.ParseInt(m[2], 10, 64) // as above
		}
		to = min(to, blob.Size-1, from+chunkBytes-1)
		if from > to {
			return nil, wire.Refuse(http.StatusRequestedRangeNotSatisfiable, "0x80040203", "The range is outside the file.")
		}
		n, out.Status = to-from+1, http.StatusPartialContent
		h.Set("x-ms-chunk-size", strconv.Itoa(chunkBytes))
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, blob.Size))
		path, _, _ := strings.Cut(c.URL, "?")
		h.Set("Location", c.Root+"/"+path)
	} else if n > singleMax {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The file is too large for one request; use ranges.")
	}
	data := make([]byte, n)
	if n > 0 {
		if _, err := blob.ReadAt(data, from); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
	}
	if raw {
		out.Body = data
		return out, nil
	}
	h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(blob.Name))
	out.Type = ""
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(b, `/$metadata#Edm.Binary","value":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	out.Body = append(b, `"}`...)
	return out, nil
}

// blockActions are the messages that move files by blocks (§8.1, §8.2).
func blockActions(m map[string]func(Writer) (object, error)) {
	m["InitializeFileBlocksUpload"] = Writer.beginBlocks
	m["UploadBlock"] = Writer.takeBlock
	m["CommitFileBlocksUpload"] = Writer.commitBlocks
	m["InitializeFileBlocksDownload"] = Writer.beginDownload
	m["DownloadBlock"] = Writer.giveBlock
	m["DeleteFile"] = Writer.deleteFile
}

type blockBody struct {
	Target                json.RawMessage
	FileName              string
	MimeType              string
	FileAttributeName     string
	FileContinuationToken string
	BlockID               string `json:"BlockId"`
	BlockData             []byte
	BlockList             []string
	Offset                int64
	BlockLength           int64
	FileID                string `json:"FileId"`
}

func (c Writer) blockBody() (blockBody, error) {
	var b blockBody
	if err := json.Unmarshal(c.Body, &b); err != nil {
		return b, wire.BadPayload("Invalid JSON.")
	}
	return b, nil
}

// target finds the row and file column a message is about.
func (c Writer) fileTarget(a *platform.Act, b blockBody) (*upload, error) {
	var typed struct {
		Type string `json:"@odata.type"`
	}
	if json.Unmarshal(b.Target, &typed) != nil {
		return nil, wire.BadPayload("A property 'Target' was expected.")
	}
	t := c.Schema.Model.Table(typed.Type[strings.LastIndexByte(typed.Type, '.')+1:])
	if t == nil {
		return nil, wire.BadPayload("The type of 'Target' is missing or unknown.")
	}
	p, err := wire.ParsePayload(c.Schema, t, b.Target)
	if err != nil {
		return nil, err
	}
	col := t.Column(b.FileAttributeName)
	if col == nil || col.Kind != "File" && col.Kind != "Image" {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "'%s' is not a file column of %s.", b.FileAttributeName, t.LogicalName)
	}
	if !a.Exists(t, p.Key) {
		return nil, wire.NoRow(t.LogicalName, p.Key.String())
	}
	return &upload{table: t, row: p.Key, column: col, name: b.FileName, blocks: map[string][]byte{}}, nil
}

func (c Writer) beginBlocks() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	var u *upload
	err = c.View(func(tx *store.Tx) error {
		u, err = c.fileTarget(c.Act(tx), b)
		return err
	})
	if err == nil {
		err = c.inChunks()
	}
	if err != nil {
		return nil, err
	}
	return object{"FileContinuationToken": c.uploads.keep(u)}, nil
}

// inChunks refuses uploads by chunks and blocks where files lie in storage that is
// encrypted with the customer's own key (§8.2).
func (c Writer) inChunks() error {
	if c.Org.Assume["file-chunks"] == "refuse" {
		return wire.Refuse(http.StatusBadRequest, "0x80090017", "Uploading a file in chunks is not supported.")
	}
	return nil
}

func (c Writer) takeBlock() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	u, err := c.uploads.of(b.FileContinuationToken)
	if err != nil {
		return nil, err
	}
	if id, err := base64.StdEncoding.DecodeString(b.BlockID); err != nil || len(id) > 64 || len(id) == 0 || len(b.BlockData) > chunkBytes || u.blocks == nil {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The block or its id is not valid.")
	}
	c.uploads.mu.Lock()
	defer c.uploads.mu.Unlock()
	for other := range u.blocks {
		if len(other) != len(b.BlockID) {
			return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The ids of all blocks of a file must have the same length.")
		}
	}
	u.blocks[b.BlockID] = b.BlockData
	return nil, nil
}

func (c Writer) commitBlocks() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	u, err := c.uploads.of(b.FileContinuationToken)
	if err != nil {
		return nil, err
	}
	data, err := c.uploads.assemble(u, b.BlockList)
	if err != nil {
		return nil, err
	}
	name, mime := b.FileName, b.MimeType
	if name == "" {
		name = u.name
	}
	if mime == "" {
		mime = attachment.TypeOf(name)
	}
	var fileID allod.GUID
	err = c.Update(func(a *platform.Act) error {
		fileID, err = c.keepFile(a, u.table, u.row, u.column, name, mime, data)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.uploads.end(b.FileContinuationToken)
	return object{"FileId": fileID.String(), "FileSizeInBytes": len(data)}, nil
}

func (c Writer) beginDownload() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	var u *upload
	err = c.View(func(tx *store.Tx) error {
		if u, err = c.fileTarget(c.Act(tx), b); err != nil {
			return err
		}
		u.read = tx.Blob(tx.Value(u.table.LogicalName, tx.Get(u.table.LogicalName, u.row), blobColumn(u.column)).GUID())
		if u.read == nil {
			return wire.Refuse(http.StatusNotFound, "0x80040217", "No file attachment found for attribute: %s EntityId: %v.", u.column.LogicalName, u.row)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"FileContinuationToken": c.uploads.keep(u), "FileSizeInBytes": u.read.Size, "FileName": u.read.Name, "IsChunkingSupported": true}, nil
}

func (c Writer) giveBlock() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	u, err := c.uploads.of(b.FileContinuationToken)
	if err != nil {
		return nil, err
	}
	if u.read == nil || b.Offset < 0 || b.Offset >= max(u.read.Size, 1) || b.BlockLength < 1 {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The block is outside the file.")
	}
	data := make([]byte, min(b.BlockLength, chunkBytes, u.read.Size-b.Offset))
	if len(data) > 0 {
		if _, err := u.read.ReadAt(data, b.Offset); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
	}
	return object{"Data": base64.StdEncoding.EncodeToString(data)}, nil
}

// deleteFile finds the column that holds the file by its id.
func (c Writer) deleteFile() (object, error) {
	b, err := c.blockBody()
	if err != nil {
		return nil, err
	}
	id, err := allod.ParseGUID(b.FileID)
	if err != nil {
		return nil, wire.BadPayload("'FileId' is not a GUID.")
	}
	return nil, c.Update(func(a *platform.Act) error {
		for _, t := range c.Schema.Model.Tables {
			for _, col := range t.Columns {
				if col.Kind != "File" || !a.Tx.Has(t.LogicalName) {
					continue
				}
				for _, row := range a.Tx.Find(t.LogicalName, col.LogicalName, allod.IDValue(id)) {
					return c.dropFile(a, t, row, col)
				}
			}
		}
		return wire.NoRow("fileattachment", id.String())
	})
}
