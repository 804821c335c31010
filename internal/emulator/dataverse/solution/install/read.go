// Package install answers StageSolution, ImportSolution, ImportSolutionAsync,
// StageAndUpgradeAsync and RetrieveSolutionImportResult: it reads a package of a
// solution and brings what it holds into the organisation
// (protocols/dataverse.md §11.1).
//
// Tables, columns, relationships and keys are made where they are missing, as by
// an administrator, and not changed where they are there; rows of components are
// written. Nothing is removed.
package install

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/wire"
)

// Bounds of what is read of a package.
const (
	maxFiles = 10_000
	maxSize  = 256 << 20 // bytes of all files together
)

// pack is a package as it was read.
type pack struct {
	files map[string][]byte
	manifest
	customizations
}

type label struct {
	Text string `xml:"description,attr"`
}

type manifest struct {
	Solution struct {
		UniqueName, Version, Managed string
		Names                        []label `xml:"LocalizedNames>LocalizedName"`
		Descriptions                 []label `xml:"Descriptions>Description"`
		Publisher                    struct {
			UniqueName, CustomizationPrefix, CustomizationOptionValuePrefix string
			Names                                                           []label `xml:"LocalizedNames>LocalizedName"`
		}
		Roots []root `xml:"RootComponents>RootComponent"`
	} `xml:"SolutionManifest"`
}

type root struct {
	Type     int    `xml:"type,attr"`
	Schema   string `xml:"schemaName,attr"`
	ID       string `xml:"id,attr"`
	Behavior int    `xml:"behavior,attr"`
}

type customizations struct {
	Tables        []table        `xml:"Entities>Entity"`
	Roles         []role         `xml:"Roles>Role"`
	Processes     []process      `xml:"Workflows>Workflow"`
	Relationships []relationship `xml:"EntityRelationships>EntityRelationship"`
	WebResources  []webResource  `xml:"WebResources>WebResource"`
	Apps          []app          `xml:"AppModules>AppModule"`
	CanvasApps    []canvasApp    `xml:"CanvasApps>CanvasApp"`
	Connections   []connection   `xml:"connectionreferences>connectionreference"`
}

type table struct {
	Info *struct {
		Name      string   `xml:"Name,attr"`
		Names     []label  `xml:"LocalizedNames>LocalizedName"`
		Columns   []column `xml:"attributes>attribute"`
		SetName   string   `xml:"EntitySetName"`
		Ownership string   `xml:"OwnershipTypeMask"`
		Audit     string   `xml:"IsAuditEnabled"`
		Activity  string   `xml:"IsActivity"`
		Tracking  string   `xml:"ChangeTrackingEnabled"`
		Nature    string   `xml:"TableType"`
		Provider  string   `xml:"DataProviderId"`
		Keys      []key    `xml:"EntityKeys>EntityKey"`
	} `xml:"EntityInfo>entity"`
	SchemaName string  `xml:"Name"`
	Forms      []forms `xml:"FormXml>forms"`
	Views      []view  `xml:"SavedQueries>savedqueries>savedquery"`
}

type column struct {
	SchemaName                                                  string `xml:"PhysicalName,attr"`
	Type, LogicalName, RequiredLevel, IsCustomField             string
	IsSecured, IsAuditEnabled                                   string
	SourceType, MaxLength, Accuracy, MaxSizeInKB                int
	Behavior, MinValue, MaxValue, AutoNumberFormat, DisplayMask string
	FormulaDefinitionFileName                                   string
	Names                                                       []label `xml:"displaynames>displayname"`
	Options                                                     []struct {
		Value  int     `xml:"value,attr"`
		Labels []label `xml:"labels>label"`
	} `xml:"optionset>options>option"`
}

type key struct {
	Name    string
	Columns []string `xml:"EntityKeyAttributes>AttributeName"`
}

type relationship struct {
	Name                                          string `xml:"Name,attr"`
	EntityRelationshipType, IntersectEntityName   string
	FirstEntityName, SecondEntityName             string
	ReferencingEntityName, ReferencedEntityName   string
	ReferencingAttributeName                      string
	CascadeAssign, CascadeDelete, CascadeReparent string
	CascadeShare, CascadeUnshare                  string
}

type forms struct {
	Kind  string `xml:"type,attr"`
	Forms []struct {
		ID                  string `xml:"formid"`
		FormActivationState string
		Form                inner   `xml:"form"`
		Names               []label `xml:"LocalizedNames>LocalizedName"`
		Descriptions        []label `xml:"Descriptions>Description"`
	} `xml:"systemform"`
}

type inner struct {
	XML string `xml:",innerxml"`
}

type view struct {
	ID           string  `xml:"savedqueryid"`
	Quick        string  `xml:"isquickfindquery"`
	Default      string  `xml:"isdefault"`
	QueryType    string  `xml:"querytype"`
	Fetch        inner   `xml:"fetchxml"`
	Layout       inner   `xml:"layoutxml"`
	Names        []label `xml:"LocalizedNames>LocalizedName"`
	Descriptions []label `xml:"Descriptions>Description"`
}

type role struct {
	ID         string `xml:"id,attr"`
	Name       string `xml:"name,attr"`
	Privileges []struct {
		Name  string `xml:"name,attr"`
		Level string `xml:"level,attr"`
	} `xml:"RolePrivileges>RolePrivilege"`
}

type process struct {
	ID                                                                  string `xml:"WorkflowId,attr"`
	Name                                                                string `xml:"Name,attr"`
	JsonFileName, XamlFileName, Type, Subprocess, Category, Mode, Scope string
	OnDemand, StateCode, StatusCode, PrimaryEntity                      string
}

type webResource struct {
	WebResourceId, Name, DisplayName, Description, LanguageCode, WebResourceType, FileName string
}

type app struct {
	UniqueName, IntroducedVersion, FormFactor, ClientType, NavigationType string
	Names                                                                 []label `xml:"LocalizedNames>LocalizedName"`
	Descriptions                                                          []label `xml:"Descriptions>Description"`
}

type canvasApp struct {
	Name, Status, DisplayName, Description, ConnectionReferences, DatabaseReferences, Tags, CanvasAppType, DocumentUri string
}

type connection struct {
	Name        string `xml:"connectionreferencelogicalname,attr"`
	Title       string `xml:"connectionreferencedisplayname"`
	Connector   string `xml:"connectorid"`
	Description string `xml:"description"`
}

// variable is environmentvariabledefinition.xml.
type variable struct {
	SchemaName   string `xml:"schemaname,attr"`
	DefaultValue string `xml:"defaultvalue"`
	Description  struct {
		Text string `xml:"default,attr"`
	} `xml:"description"`
	DisplayName struct {
		Text string `xml:"default,attr"`
	} `xml:"displayname"`
	Version  string `xml:"introducedversion"`
	Required string `xml:"isrequired"`
	Type     string `xml:"type"`
}

// notASolution is what the service says to any other file.
func notASolution() error {
	return wire.Refuse(http.StatusBadRequest, "0x80048060", "The solution file is invalid. The compressed file must contain the following files at its root: solution.xml, customizations.xml, and [Content_Types].xml. Customization files exported from previous versions of Microsoft Dynamics 365 are not supported.")
}

// read takes a package apart.
func read(raw []byte) (*pack, error) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || len(z.File) > maxFiles {
		return nil, notASolution()
	}
	p := &pack{files: map[string][]byte{}}
	left := int64(maxSize)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, notASolution()
		}
		b, err := io.ReadAll(io.LimitReader(r, left+1))
		_ = r.Close() // of a reader over memory
		if left -= int64(len(b)); err != nil || left < 0 {
			return nil, notASolution()
		}
		p.files[strings.TrimPrefix(f.Name, "/")] = b
	}
	for name, to := range map[string]any{"solution.xml": &p.manifest, "customizations.xml": &p.customizations, "[Content_Types].xml": new(struct{})} {
		if xml.Unmarshal(p.files[name], to) != nil {
			return nil, notASolution()
		}
	}
	if p.Solution.UniqueName == "" {
		return nil, notASolution()
	}
	return p, nil
}

// file is a file that the XML names.
func (p *pack) file(name string) []byte { return p.files[strings.TrimPrefix(name, "/")] }

func first(list []label) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].Text
}
