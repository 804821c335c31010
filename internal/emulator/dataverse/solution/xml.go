package solution

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// node is one element of XML. Text stands before the children.
type node struct {
	name     string
	attrs    []string // name, value, name, value …
	text     string
	raw      string // XML that is well formed, written as it is
	children []*node
}

// el makes an element with attributes.
func el(name string, attrs ...string) *node { return &node{name: name, attrs: attrs} }

// leaf makes an element that holds a text.
func leaf(name, text string) *node { return &node{name: name, text: text} }

// add appends children and returns n; nil children are left out.
func (n *node) add(children ...*node) *node {
	for _, c := range children {
		if c != nil {
			n.children = append(n.children, c)
		}
	}
	return n
}

// embed makes an element that holds XML from a row, or nothing when what the row
// holds is not well formed.
func embed(name, text string) *node {
	if !wellFormed(text) {
		return el(name)
	}
	return &node{name: name, raw: text}
}

func wellFormed(text string) bool {
	d := xml.NewDecoder(strings.NewReader(text))
	for depth := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return depth == 0
		}
		if err != nil {
			return false
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return false // only at the top of a document
		}
	}
}

// document writes the element as a document.
func (n *node) document() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?>` + "\n")
	n.write(&b, "")
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer, indent string) {
	b.WriteString(indent + "<" + n.name)
	for i := 0; i+1 < len(n.attrs); i += 2 {
		b.WriteString(" " + n.attrs[i] + `="`)
		escape(b, n.attrs[i+1])
		b.WriteByte('"')
	}
	if n.text == "" && n.raw == "" && len(n.children) == 0 {
		b.WriteString(" />\n")
		return
	}
	b.WriteByte('>')
	escape(b, n.text)
	b.WriteString(n.raw)
	if len(n.children) > 0 {
		b.WriteByte('\n')
		for _, c := range n.children {
			c.write(b, indent+"  ")
		}
		b.WriteString(indent)
	}
	b.WriteString("</" + n.name + ">\n")
}

// escape writes text; characters that XML cannot hold become U+FFFD.
func escape(b *bytes.Buffer, text string) {
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
}
