BEGIN IMMEDIATE;

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE cases (
	case_id VARCHAR(20) NOT NULL, 
	principal VARCHAR(200) NOT NULL, 
	tool_name VARCHAR(200) NOT NULL, 
	arguments TEXT NOT NULL, 
	arguments_sha256 VARCHAR(64) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	opened_at VARCHAR(27) NOT NULL, 
	expires_at VARCHAR(27), 
	claimed_by VARCHAR(32), 
	reported_at VARCHAR(27), intent TEXT, user_request TEXT, continuation TEXT, collected_at VARCHAR(27), definition_sha256 VARCHAR(64), round_number INTEGER DEFAULT 1 NOT NULL, waiting_before TEXT, frozen_at VARCHAR(27), session VARCHAR(32), 
	CONSTRAINT pk_cases PRIMARY KEY (case_id)
);

CREATE UNIQUE INDEX uq_cases_unfinished ON cases (principal, tool_name, arguments_sha256) WHERE status IN ('QUEUED', 'PENDING_REVIEW', 'AUTHORIZED', 'EXECUTING');

CREATE INDEX ix_cases_unreported ON cases (status, expires_at) WHERE reported_at IS NULL;

CREATE TABLE outcomes (
	case_id VARCHAR(20) NOT NULL, 
	result TEXT, 
	detail TEXT, 
	finished_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_outcomes PRIMARY KEY (case_id), 
	CONSTRAINT fk_outcomes_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TABLE ledger (
	seq INTEGER NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	action VARCHAR(40) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	detail TEXT NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	entry_hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_ledger PRIMARY KEY (seq)
);

CREATE INDEX ix_ledger_case_id ON ledger (case_id);

CREATE TABLE beneficiaries (
	beneficiary_id VARCHAR(20) NOT NULL, 
	record TEXT NOT NULL, 
	CONSTRAINT pk_beneficiaries PRIMARY KEY (beneficiary_id)
);

CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the table ledger is append-only'); END;

CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the table ledger is append-only'); END;

CREATE TRIGGER outcomes_no_update BEFORE UPDATE ON outcomes BEGIN SELECT RAISE(ABORT, 'the table outcomes is append-only'); END;

CREATE TRIGGER outcomes_no_delete BEFORE DELETE ON outcomes BEGIN SELECT RAISE(ABORT, 'the table outcomes is append-only'); END;

CREATE INDEX ix_cases_same_call ON cases (principal, tool_name, arguments_sha256, opened_at);

CREATE INDEX ix_cases_uncollected ON cases (principal, opened_at) WHERE collected_at IS NULL;

CREATE TABLE assessments (case_id VARCHAR(20) NOT NULL, risk_score INTEGER NOT NULL, classification TEXT NOT NULL, action TEXT NOT NULL, rationale TEXT NOT NULL, assessor VARCHAR(200) NOT NULL, threshold INTEGER NOT NULL, arguments_sha256 VARCHAR(64) NOT NULL, assessed_at VARCHAR(27) NOT NULL, ruling TEXT, model_score INTEGER, model VARCHAR(200), prompt_version VARCHAR(200), round_number INTEGER NOT NULL, definition_sha256 VARCHAR(64), reopened_because TEXT, is_outside BOOLEAN DEFAULT 0 NOT NULL, trace TEXT, PRIMARY KEY (case_id, round_number), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE decisions (case_id VARCHAR(20) NOT NULL, decision VARCHAR(10) NOT NULL, reviewer VARCHAR(200) NOT NULL, reason TEXT, arguments_sha256 VARCHAR(64) NOT NULL, decided_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, PRIMARY KEY (case_id, round_number), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE inquiries (case_id VARCHAR(20) NOT NULL, assessor VARCHAR(200) NOT NULL, reference VARCHAR(200) NOT NULL, asked_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, definition_sha256 VARCHAR(64), PRIMARY KEY (case_id, round_number), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE approvals (case_id VARCHAR(20) NOT NULL, reviewer VARCHAR(200) NOT NULL, reason TEXT, arguments_sha256 VARCHAR(64) NOT NULL, decided_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, PRIMARY KEY (case_id, round_number, reviewer), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE definitions (
	definition_sha256 VARCHAR(64) NOT NULL, 
	definition TEXT NOT NULL, 
	CONSTRAINT pk_definitions PRIMARY KEY (definition_sha256)
);

CREATE TABLE tool_definitions (
	tool_name VARCHAR(200) NOT NULL, 
	policy_sha256 VARCHAR(64) NOT NULL, 
	definition_sha256 VARCHAR(64) NOT NULL, 
	first_seen_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_tool_definitions PRIMARY KEY (tool_name, policy_sha256)
);

CREATE TRIGGER assessments_no_update BEFORE UPDATE ON assessments BEGIN SELECT RAISE(ABORT, 'the table assessments is append-only'); END;

CREATE TRIGGER assessments_no_delete BEFORE DELETE ON assessments BEGIN SELECT RAISE(ABORT, 'the table assessments is append-only'); END;

CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'the table decisions is append-only'); END;

CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'the table decisions is append-only'); END;

CREATE TRIGGER inquiries_no_update BEFORE UPDATE ON inquiries BEGIN SELECT RAISE(ABORT, 'the table inquiries is append-only'); END;

CREATE TRIGGER inquiries_no_delete BEFORE DELETE ON inquiries BEGIN SELECT RAISE(ABORT, 'the table inquiries is append-only'); END;

CREATE TRIGGER approvals_no_update BEFORE UPDATE ON approvals BEGIN SELECT RAISE(ABORT, 'the table approvals is append-only'); END;

CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'the table approvals is append-only'); END;

CREATE TRIGGER definitions_no_update BEFORE UPDATE ON definitions BEGIN SELECT RAISE(ABORT, 'the table definitions is append-only'); END;

CREATE TRIGGER definitions_no_delete BEFORE DELETE ON definitions BEGIN SELECT RAISE(ABORT, 'the table definitions is append-only'); END;

CREATE TRIGGER tool_definitions_no_update BEFORE UPDATE ON tool_definitions BEGIN SELECT RAISE(ABORT, 'the table tool_definitions is append-only'); END;

CREATE TRIGGER tool_definitions_no_delete BEFORE DELETE ON tool_definitions BEGIN SELECT RAISE(ABORT, 'the table tool_definitions is append-only'); END;

CREATE TABLE sessions (
	session_sha256 VARCHAR(64) NOT NULL, 
	principal VARCHAR(200) NOT NULL, 
	protocol_version VARCHAR(20) NOT NULL, 
	client_info TEXT NOT NULL, 
	capabilities TEXT NOT NULL, 
	opened_at VARCHAR(27) NOT NULL, 
	last_seen_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (session_sha256)
);

CREATE INDEX ix_sessions_of_agent ON sessions (principal, last_seen_at);

CREATE INDEX ix_sessions_last_seen_at ON sessions (last_seen_at);

CREATE TABLE call_counts (
	principal VARCHAR(200) NOT NULL, 
	began_at VARCHAR(27) NOT NULL, 
	calls INTEGER NOT NULL, 
	refused_at VARCHAR(27), 
	refused INTEGER NOT NULL, 
	CONSTRAINT pk_call_counts PRIMARY KEY (principal)
);

CREATE INDEX ix_cases_undecided ON cases (principal) WHERE status IN ('QUEUED', 'PENDING_REVIEW');

CREATE TABLE people (
	name VARCHAR(200) NOT NULL, 
	seen_as VARCHAR(400) NOT NULL, 
	groups TEXT NOT NULL, 
	password_hash TEXT, 
	added_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_people PRIMARY KEY (name), 
	CONSTRAINT uq_people_seen_as UNIQUE (seen_as)
);

CREATE TABLE links (
	link_sha256 VARCHAR(64) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	expires_at VARCHAR(27) NOT NULL, 
	used_at VARCHAR(27), 
	CONSTRAINT pk_links PRIMARY KEY (link_sha256)
);

CREATE TABLE desk_sessions (
	session_sha256 VARCHAR(64) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	groups TEXT NOT NULL, 
	way VARCHAR(20) NOT NULL, 
	is_signed BOOLEAN NOT NULL, 
	form_token VARCHAR(64) NOT NULL, 
	began_at VARCHAR(27) NOT NULL, 
	last_seen_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_desk_sessions PRIMARY KEY (session_sha256)
);

CREATE INDEX ix_desk_sessions_person ON desk_sessions (person);

CREATE INDEX ix_desk_sessions_last_seen_at ON desk_sessions (last_seen_at);

CREATE TABLE sign_in_attempts (
	subject VARCHAR(250) NOT NULL, 
	began_at VARCHAR(27) NOT NULL, 
	failed INTEGER NOT NULL, 
	CONSTRAINT pk_sign_in_attempts PRIMARY KEY (subject)
);

CREATE TABLE comments (
	comment_id INTEGER NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	author VARCHAR(200) NOT NULL, 
	text TEXT NOT NULL, 
	written_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_comments PRIMARY KEY (comment_id), 
	CONSTRAINT fk_comments_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE INDEX ix_comments_case_id ON comments (case_id);

CREATE TABLE kept_filters (
	person VARCHAR(200) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	"query" TEXT NOT NULL, 
	kept_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_kept_filters PRIMARY KEY (person, name)
);

CREATE TABLE stops (
	stop_id VARCHAR(20) NOT NULL, 
	scope VARCHAR(10) NOT NULL, 
	target VARCHAR(200) NOT NULL, 
	reason TEXT NOT NULL, 
	stopped_by VARCHAR(200) NOT NULL, 
	stopped_at VARCHAR(27) NOT NULL, 
	lifted_by VARCHAR(200), 
	lifted_at VARCHAR(27), 
	lift_reason TEXT, 
	CONSTRAINT pk_stops PRIMARY KEY (stop_id)
);

CREATE UNIQUE INDEX ix_stops_in_force ON stops (scope, target) WHERE lifted_at IS NULL;

CREATE INDEX ix_cases_opened_at ON cases (opened_at, case_id);

CREATE INDEX ix_cases_waiting ON cases (opened_at, case_id, expires_at, frozen_at, principal, tool_name, round_number, arguments_sha256, status) WHERE status = 'PENDING_REVIEW';

CREATE INDEX ix_cases_principal_opened_at ON cases (principal, opened_at, case_id);

CREATE INDEX ix_cases_tool_name_opened_at ON cases (tool_name, opened_at, case_id);

CREATE INDEX ix_decisions_reviewer ON decisions (reviewer, case_id, round_number);

CREATE TABLE decision_keys (
	reviewer VARCHAR(200) NOT NULL, 
	idempotency_key VARCHAR(200) NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	decision VARCHAR(10) NOT NULL, 
	round_number INTEGER NOT NULL, 
	decided_at VARCHAR(27) NOT NULL, 
	said_sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_decision_keys PRIMARY KEY (reviewer, idempotency_key)
);

CREATE INDEX ix_decision_keys_decided_at ON decision_keys (decided_at);

CREATE TABLE identities (
	subject_sha256 VARCHAR(64) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	way VARCHAR(20) NOT NULL, 
	first_seen_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_identities PRIMARY KEY (subject_sha256), 
	CONSTRAINT uq_identities_person UNIQUE (person)
);

CREATE INDEX ix_cases_principal_reported_at ON cases (principal, reported_at);

CREATE INDEX ix_cases_session ON cases (principal, session, opened_at);

CREATE INDEX ix_ledger_readings ON ledger (actor, seq) WHERE action = 'admit.read';

INSERT INTO alembic_version VALUES ('0012');

COMMIT;
