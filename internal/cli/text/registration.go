package text

// Registration says how to register the applications of an environment, whose
// name its verb takes: by commands of the Azure command line, then by hand. An
// application that signs in by itself needs no permission in Entra: what it may
// do, the roles of the environment say (protocols/dataverse.md §1.2).
const Registration = `Allod signs in as an application of your Entra tenant: one that backs up, the
reader, and another one that restores. Registering them takes the right to
register applications; Allod has it not and wants it not.

With the Azure command line (az login first), for the reader:

  az ad app create --display-name "Allod reader" \
     --sign-in-audience AzureADMyOrg --query appId --output tsv
  az ad sp create --id CLIENT-ID
  az ad app credential reset --id CLIENT-ID --append --years 1

The first command prints the client id, the last one the secret. A certificate
is better, if you have one: with --cert @reader.pem instead of --years 1. Then
the same with "Allod restorer".

By hand, at https://entra.microsoft.com:

  1. Identity, Applications, App registrations, New registration.
  2. Name: Allod reader. Accounts in this organizational directory only.
     No redirect URI. Register.
  3. Note "Application (client) ID" and "Directory (tenant) ID".
  4. Certificates & secrets: upload a certificate, or New client secret. Note
     its value, it is shown once, and the day it expires.
  5. API permissions: none. What it may do, its roles in the environment say.
  6. The same once more for Allod restorer.

In https://admin.powerplatform.microsoft.com, for the reader:

  7. Environments, the environment, Settings, Users + permissions,
     Application users, New app user: add the application, the root business
     unit, and System Administrator, for the next two steps only.

Then, with the secret in ALLOD_CLIENT_SECRET or its file named:

  allod connect %[1]s URL --tenant-id TENANT-ID --client-id CLIENT-ID
  allod setup dataverse %[1]s --reader CLIENT-ID --restorer CLIENT-ID

The second one makes the roles, and the restorer's user if there is none. Take
System Administrator from the reader then: ` + "`allod check source %[1]s`" + ` says when
it is enough.
`
