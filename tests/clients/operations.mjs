// The operations of a registration page and of an organisers' page.
export const RULES = `
  query Rules {
    tournament { id name registration { state remaining } }
    registrationRules { squadMin squadMax requiredDocuments }
  }`;
export const VALIDATE = `
  query Validate($input: RegisterTeamInput!) {
    validateTeam(input: $input) { isValid blockers issues { pointer code message params } }
  }`;
export const REGISTER = `
  mutation Register($input: RegisterTeamInput!) {
    registerTeam(input: $input) { team { id code version status } manageToken replayed }
  }`;
export const OPEN_UPLOAD = `
  mutation OpenUpload($input: OpenUploadInput!) {
    openUpload(input: $input) { ticket { documentId url method headers { name value } } }
  }`;
export const MY_TEAM = `
  query MyTeam {
    myTeam {
      id code name version church { id } captain { name phone }
      documents { id kind link { url } }
    }
  }`;
export const UPDATE = `
  mutation Update($input: UpdateMyTeamInput!) {
    updateMyTeam(input: $input) {
      team { id name version documents { id kind review link { url expiresAt } } }
    }
  }`;
export const PARTIAL = `query Partial { tournament { id name } teamStats { total } }`;
export const SIGN_IN = `
  mutation SignIn($input: SignInInput!) {
    signIn(input: $input) { token expiresAt organiser { id email accessRole } }
  }`;
export const ME = `query Me { me { id email accessRole } }`;
export const TEAMS = `
  query Teams {
    teams(orderBy: { field: REGISTERED }) {
      totalCount
      nodes { id code name status version captain { name phone } documents { id link { url } } }
    }
  }`;
export const NODES = `
  query Nodes($team: ID!, $organiser: ID!) {
    team: node(id: $team) { id ... on Team { code players { id code role } } }
    organiser: node(id: $organiser) { id ... on Organiser { email accessRole } }
  }`;
export const OWN_NODES = `
  query OwnNodes($team: ID!, $church: ID!, $tournament: ID!, $other: ID!) {
    team: node(id: $team) { id ... on Team { code history { id } } }
    church: node(id: $church) { id ... on Church { name } }
    tournament: node(id: $tournament) { id ... on Tournament { venue } }
    other: node(id: $other) { id }
  }`;
export const UNKNOWN = `query Unknown { team(code: "ICCT-999") { id } player(code: "X") { id } }`;
export const DEPRECATED = `
  query Deprecated {
    __type(name: "Query") {
      fields { name args(includeDeprecated: true) { name isDeprecated deprecationReason } }
    }
  }`;
export const CONFIRM = `
  mutation Confirm($input: ConfirmTeamInput!) {
    confirmTeam(input: $input) {
      team { id status version readiness { nextOperation } }
    }
  }`;
export const SESSIONS = `query Sessions { sessions { id isCurrent } }`;
export const REVOKE = `
  mutation Revoke($input: RevokeSessionInput!) { revokeSession(input: $input) { session { id } } }`;
export const NAME = `query Name { tournament { id name } }`;
