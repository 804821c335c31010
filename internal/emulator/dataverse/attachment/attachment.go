// Package attachment is what the organisation's settings let be uploaded: how
// large, of which extensions and types (protocols/dataverse.md §8.1; Files and
// images overview, "Block certain types of files").
package attachment

import (
	"net/http"
	"path"
	"strings"

	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

const (
	organization = "organization"
	standardSize = 5 << 20     // organization.maxuploadfilesize unless it says otherwise
	largestSize  = 131_072_000 // the most it may be
)

// Blocked is organization.blockedattachments of a new organisation.
const Blocked = "ade;adp;app;asa;ashx;asmx;asp;bas;bat;cdx;cer;chm;class;cmd;com;config;cpl;crt;csh;dll;exe;fxp;hlp;hta;htr;htw;ida;idc;idq;inf;ins;isp;its;jar;js;jse;ksh;" +
	"lnk;mad;maf;mag;mam;maq;mar;mas;mat;mau;mav;maw;mda;mdb;mde;mdt;mdw;mdz;msc;msh;msh1;msh1xml;msh2;msh2xml;mshxml;msi;msp;mst;ops;pcd;pif;prf;prg;printer;pst;reg;rem;scf;scr;" +
	"sct;shb;shs;shtm;shtml;soap;stm;tmp;url;vb;vbe;vbs;vsmacros;vss;vst;vsw;ws;wsc;wsf;wsh;svg"

func setting(tx *store.Tx, column string) string {
	for _, r := range tx.Page(organization, nil, 1) {
		return tx.Value(organization, r, column).Text()
	}
	return ""
}

// Largest is how long the Base64 text of a note or an attachment may be.
func Largest(tx *store.Tx) int {
	for _, r := range tx.Page(organization, nil, 1) {
		if n := tx.Value(organization, r, "maxuploadfilesize").Int(); n > 0 {
			return int(min(n, largestSize))
		}
	}
	return standardSize
}

// Fits refuses Base64 text that is too long for a note or an attachment.
func Fits(tx *store.Tx, length int) error {
	if length > Largest(tx) {
		return wire.Refuse(http.StatusBadRequest, "0x80044a02", "Attachment file size is too big.")
	}
	return nil
}

// Allowed refuses a file by its extension, then by its type; "" is none, and
// nothing is said against it. Blocked types hold where there are no allowed
// ones.
func Allowed(tx *store.Tx, name, mime string) error {
	if ext := strings.TrimPrefix(path.Ext(name), "."); ext != "" && listed(setting(tx, "blockedattachments"), ext) {
		return wire.Refuse(http.StatusBadRequest, "0x80043e09", "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.")
	}
	mime, _, _ = strings.Cut(mime, ";")
	mime = strings.TrimSpace(mime)
	if mime == "" {
		return nil
	}
	if allowed := setting(tx, "allowedmimetypes"); allowed != "" {
		if !listed(allowed, mime) {
			return wire.Refuse(http.StatusBadRequest, "0x80072521", "Operation not allowed as mime type %s is not in the allow list.", mime)
		}
		return nil
	}
	if listed(setting(tx, "blockedmimetypes"), mime) {
		return wire.Refuse(http.StatusBadRequest, "0x80072522", "Operation not allowed as mime type %s is blocked.", mime)
	}
	return nil
}

func listed(list, item string) bool {
	for _, x := range strings.Split(list, ";") {
		if strings.EqualFold(strings.TrimSpace(x), item) {
			return true
		}
	}
	return false
}

// TypeOf is the type a file is taken for by its name.
func TypeOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".pdf":
		return "application/pdf"
	case ".txt":
		return "text/plain"
	case ".csv":
		return "text/csv"
	case ".htm", ".html":
		return "text/html"
	case ".xml":
		return "text/xml"
	case ".json":
		return "application/json"
	case ".zip":
		return "application/zip"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
