// Package entra makes the credentials with which an application signs in to
// Microsoft Entra: client secret, certificate, managed identity and workload
// identity. Tokens are fetched, kept and renewed by azidentity.
package entra

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"allod"
	"allod/internal/source/odataclient"
)

// Method is how an application proves who it is.
type Method string

// The methods, as --auth names them.
const (
	Secret           Method = "secret"
	Certificate      Method = "certificate"
	ManagedIdentity  Method = "managed-identity"
	WorkloadIdentity Method = "workload-identity"
)

// Options of a credential.
type Options struct {
	Method   Method
	TenantID string // directory id or verified domain; not for ManagedIdentity
	ClientID string // application id; for ManagedIdentity that of a user-assigned identity, "" = the machine's own

	ClientSecret string // Secret: the value itself

	// CertificateFile is a PEM or PKCS#12 file with certificate and private
	// key; CertificatePassword opens a PKCS#12 file.
	CertificateFile     string
	CertificatePassword string

	TokenFile string // WorkloadIdentity: file with the workload's token; "" = $AZURE_FEDERATED_TOKEN_FILE

	// Authority is the sign-in service, e.g. https://login.microsoftonline.us;
	// "" = the public cloud. For a host that is not Microsoft's the list of
	// known authorities is not asked.
	Authority string
	CAFile    string // PEM file of further certificate authorities
	Proxy     string // URL; "" = as the process environment says
}

// New makes the credential. Missing or malformed options are Invalid and name
// the flag to give. Nothing is sent until a token is wanted.
func New(o Options) (azcore.TokenCredential, error) {
	transport, err := odataclient.NewTransport(o.CAFile, o.Proxy)
	if err != nil {
		return nil, err
	}
	co := azcore.ClientOptions{Transport: &http.Client{Transport: transport}, Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: 400 * time.Millisecond, MaxRetryDelay: 5 * time.Second}}
	unknown := false
	if o.Authority != "" {
		u, err := url.Parse(o.Authority)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, missing("the sign-in service has to be an https URL", "--authority")
		}
		co.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: u.Scheme + "://" + u.Host + "/"}
		unknown = !microsoft(u.Hostname())
	}
	if o.Method != ManagedIdentity {
		if o.TenantID == "" {
			return nil, missing("the tenant is not given", "--tenant-id")
		}
		if o.ClientID == "" {
			return nil, missing("the application is not given", "--client-id")
		}
	}
	var cred azcore.TokenCredential
	switch o.Method {
	case Secret:
		if o.ClientSecret == "" {
			return nil, missing("the client secret is not given", "--client-secret-file")
		}
		cred, err = azidentity.NewClientSecretCredential(o.TenantID, o.ClientID, o.ClientSecret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: co, DisableInstanceDiscovery: unknown})
	case Certificate:
		certs, key, cerr := readCertificate(o)
		if cerr != nil {
			return nil, cerr
		}
		cred, err = azidentity.NewClientCertificateCredential(o.TenantID, o.ClientID, certs, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: co, DisableInstanceDiscovery: unknown})
	case ManagedIdentity:
		mo := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: co}
		if o.ClientID != "" {
			mo.ID = azidentity.ClientID(o.ClientID)
		}
		cred, err = azidentity.NewManagedIdentityCredential(mo)
	case WorkloadIdentity:
		cred, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: co, ClientID: o.ClientID, TenantID: o.TenantID, TokenFilePath: o.TokenFile, DisableInstanceDiscovery: unknown,
		})
	default:
		return nil, missing("the way to sign in is not known", "--auth secret, certificate, managed-identity or workload-identity")
	}
	if err != nil {
		// azidentity's texts name options, never their values.
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "make the %s credential: %w", o.Method, err), "check --tenant-id and --client-id")
	}
	return cred, nil
}

func missing(what, flag string) error {
	return allod.WithHint(allod.Errorf(allod.Invalid, "make the credential: %s", what), "give %s", flag)
}

// microsoft reports whether a host is one of Microsoft's sign-in services.
func microsoft(host string) bool {
	host = strings.ToLower(host)
	for _, known := range []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn", "login.windows.net"} {
		if host == known {
			return true
		}
	}
	return false
}

// maxCertificate bounds a certificate file, in bytes.
const maxCertificate = 1 << 20

func readCertificate(o Options) (certs []*x509.Certificate, key any, err error) {
	if o.CertificateFile == "" {
		return nil, nil, missing("the certificate is not given", "--certificate")
	}
	info, err := os.Stat(o.CertificateFile)
	if err == nil && info.Size() > maxCertificate {
		return nil, nil, allod.Errorf(allod.Invalid, "read the certificate: the file is larger than a certificate can be")
	}
	data, err := os.ReadFile(o.CertificateFile)
	if err != nil {
		return nil, nil, &allod.Error{Kind: allod.Invalid, Err: err, Hint: "check --certificate"}
	}
	certs, key, err = azidentity.ParseCertificates(data, []byte(o.CertificatePassword))
	if err != nil {
		return nil, nil, allod.WithHint(allod.Errorf(allod.Invalid, "read the certificate: it has no certificate and private key that can be used"),
			"give a PEM or PKCS#12 file that holds both")
	}
	return certs, key, nil
}
