BEGIN IMMEDIATE;

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, oldest_version VARCHAR(4) DEFAULT '0014', 
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
	reported_at VARCHAR(27), intent TEXT, user_request TEXT, continuation TEXT, collected_at VARCHAR(27), definition_sha256 VARCHAR(64), round_number INTEGER DEFAULT 1 NOT NULL, waiting_before TEXT, frozen_at VARCHAR(27), session VARCHAR(32), begins_at VARCHAR(27), edited_round INTEGER, asked_at VARCHAR(27), held_by VARCHAR(32), shown_score INTEGER, 
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

CREATE TABLE decisions (case_id VARCHAR(20) NOT NULL, decision VARCHAR(10) NOT NULL, reviewer VARCHAR(200) NOT NULL, reason TEXT, arguments_sha256 VARCHAR(64) NOT NULL, decided_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, on_behalf_of VARCHAR(200), way VARCHAR(20), PRIMARY KEY (case_id, round_number), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE inquiries (case_id VARCHAR(20) NOT NULL, assessor VARCHAR(200) NOT NULL, reference VARCHAR(200) NOT NULL, asked_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, definition_sha256 VARCHAR(64), PRIMARY KEY (case_id, round_number), FOREIGN KEY(case_id) REFERENCES cases (case_id));

CREATE TABLE approvals (case_id VARCHAR(20) NOT NULL, reviewer VARCHAR(200) NOT NULL, reason TEXT, arguments_sha256 VARCHAR(64) NOT NULL, decided_at VARCHAR(27) NOT NULL, round_number INTEGER NOT NULL, on_behalf_of VARCHAR(200), way VARCHAR(20), PRIMARY KEY (case_id, round_number, reviewer), FOREIGN KEY(case_id) REFERENCES cases (case_id));

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

CREATE TABLE profiles (
	person VARCHAR(200) NOT NULL, 
	groups TEXT NOT NULL, 
	languages TEXT NOT NULL, 
	zone VARCHAR(60), 
	working_hours TEXT, 
	quiet_hours TEXT, 
	channels TEXT, 
	digest VARCHAR(20), 
	has_key BOOLEAN DEFAULT 0 NOT NULL, 
	changed_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_profiles PRIMARY KEY (person)
);

CREATE TABLE trainings (
	training_id INTEGER NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	scope VARCHAR(200) NOT NULL, 
	what TEXT NOT NULL, 
	until VARCHAR(27), 
	noted_by VARCHAR(200) NOT NULL, 
	noted_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_trainings PRIMARY KEY (training_id)
);

CREATE INDEX ix_trainings_person ON trainings (person, scope);

CREATE TABLE delegations (
	delegation_id VARCHAR(20) NOT NULL, 
	from_person VARCHAR(200) NOT NULL, 
	to_person VARCHAR(200) NOT NULL, 
	group_name VARCHAR(200), 
	begins_at VARCHAR(27) NOT NULL, 
	ends_at VARCHAR(27) NOT NULL, 
	made_by VARCHAR(200) NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	ended_by VARCHAR(200), 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_delegations PRIMARY KEY (delegation_id)
);

CREATE INDEX ix_delegations_to_person ON delegations (to_person, ends_at);

CREATE TABLE passkeys (
	credential_id VARCHAR(1400) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	public_key TEXT NOT NULL, 
	sign_count INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	rp_id VARCHAR(253) NOT NULL, 
	origin VARCHAR(300) NOT NULL, 
	added_at VARCHAR(27) NOT NULL, 
	confirmed_at VARCHAR(27), 
	confirmed_by VARCHAR(1400), 
	used_at VARCHAR(27), 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_passkeys PRIMARY KEY (credential_id)
);

CREATE INDEX ix_passkeys_person ON passkeys (person);

CREATE TABLE challenges (
	challenge_sha256 VARCHAR(64) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	purpose VARCHAR(20) NOT NULL, 
	origin VARCHAR(300) NOT NULL, 
	credential_id VARCHAR(1400), 
	case_id VARCHAR(20), 
	round_number INTEGER, 
	seen_sha256 VARCHAR(64), 
	expires_at VARCHAR(27) NOT NULL, 
	used_at VARCHAR(27), 
	CONSTRAINT pk_challenges PRIMARY KEY (challenge_sha256)
);

CREATE TABLE claims (
	case_id VARCHAR(20) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	claimed_at VARCHAR(27) NOT NULL, 
	ends_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_claims PRIMARY KEY (case_id)
);

CREATE TABLE assignments (
	case_id VARCHAR(20) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	assigned_by VARCHAR(200) NOT NULL, 
	assigned_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_assignments PRIMARY KEY (case_id)
);

CREATE INDEX ix_assignments_person ON assignments (person);

CREATE TABLE snoozes (
	case_id VARCHAR(20) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	round_number INTEGER NOT NULL, 
	until VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_snoozes PRIMARY KEY (case_id, person)
);

CREATE TABLE assertions (
	assertion_sha256 VARCHAR(64) NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	reviewer VARCHAR(200) NOT NULL, 
	credential_id VARCHAR(1400) NOT NULL, 
	assertion TEXT NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_assertions PRIMARY KEY (assertion_sha256), 
	CONSTRAINT fk_assertions_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE INDEX ix_assertions_case_id ON assertions (case_id);

CREATE TABLE questions (
	question_id INTEGER NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	asked_by VARCHAR(200) NOT NULL, 
	question TEXT NOT NULL, 
	asked_at VARCHAR(27) NOT NULL, 
	answer TEXT, 
	answered_at VARCHAR(27), 
	CONSTRAINT pk_questions PRIMARY KEY (question_id), 
	CONSTRAINT fk_questions_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE INDEX ix_questions_case_id ON questions (case_id);

CREATE TABLE edits (
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	arguments TEXT NOT NULL, 
	arguments_sha256 VARCHAR(64) NOT NULL, 
	edited_by VARCHAR(200) NOT NULL, 
	edited_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_edits PRIMARY KEY (case_id, round_number), 
	CONSTRAINT fk_edits_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TABLE due_times (
	due_id INTEGER NOT NULL, 
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	step INTEGER NOT NULL, 
	detail TEXT, 
	due_at VARCHAR(27) NOT NULL, 
	done_at VARCHAR(27), 
	CONSTRAINT pk_due_times PRIMARY KEY (due_id)
);

CREATE INDEX ix_due_times_due_at ON due_times (due_at) WHERE done_at IS NULL;

CREATE INDEX ix_due_times_case_id ON due_times (case_id, round_number);

CREATE TABLE escalations (
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	to_whom VARCHAR(210) NOT NULL, 
	escalated_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_escalations PRIMARY KEY (case_id, round_number, step), 
	CONSTRAINT fk_escalations_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TABLE plans (
	plan_id VARCHAR(20) NOT NULL, 
	tool_name VARCHAR(200) NOT NULL, 
	principal VARCHAR(200), 
	condition TEXT, 
	most_calls INTEGER NOT NULL, 
	ends_at VARCHAR(27) NOT NULL, 
	reason TEXT NOT NULL, 
	made_by VARCHAR(200) NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	is_signed BOOLEAN NOT NULL, 
	groups TEXT NOT NULL, 
	policy_sha256 VARCHAR(64) NOT NULL, 
	definition_sha256 VARCHAR(64) NOT NULL, 
	stopped_by VARCHAR(200), 
	stopped_at VARCHAR(27), 
	CONSTRAINT pk_plans PRIMARY KEY (plan_id)
);

CREATE INDEX ix_plans_tool_name ON plans (tool_name, ends_at);

CREATE TABLE plan_uses (
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	plan_id VARCHAR(20) NOT NULL, 
	arguments_sha256 VARCHAR(64) NOT NULL, 
	used_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_plan_uses PRIMARY KEY (case_id, round_number), 
	CONSTRAINT fk_plan_uses_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id), 
	CONSTRAINT fk_plan_uses_plan_id_plans FOREIGN KEY(plan_id) REFERENCES plans (plan_id)
);

CREATE INDEX ix_plan_uses_plan_id ON plan_uses (plan_id);

CREATE TABLE notices (
	notice_id VARCHAR(30) NOT NULL, 
	kind VARCHAR(30) NOT NULL, 
	case_id VARCHAR(20), 
	round_number INTEGER, 
	content TEXT NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	spread_at VARCHAR(27), 
	CONSTRAINT pk_notices PRIMARY KEY (notice_id)
);

CREATE INDEX ix_notices_made_at ON notices (made_at) WHERE spread_at IS NULL;

CREATE INDEX ix_notices_case_id ON notices (case_id);

CREATE TABLE deliveries (
	delivery_id VARCHAR(40) NOT NULL, 
	notice_id VARCHAR(30) NOT NULL, 
	case_id VARCHAR(20), 
	channel VARCHAR(30) NOT NULL, 
	person VARCHAR(200), 
	address TEXT NOT NULL, 
	next_at VARCHAR(27) NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	sent_at VARCHAR(27), 
	given_up_at VARCHAR(27), 
	last_error TEXT, 
	receipt TEXT, claimed_by VARCHAR(32), failing_since VARCHAR(27), shown VARCHAR(40), 
	CONSTRAINT pk_deliveries PRIMARY KEY (delivery_id), 
	CONSTRAINT fk_deliveries_notice_id_notices FOREIGN KEY(notice_id) REFERENCES notices (notice_id)
);

CREATE INDEX ix_deliveries_next_at ON deliveries (next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;

CREATE INDEX ix_deliveries_receipt ON deliveries (next_at) WHERE receipt IS NOT NULL;

CREATE INDEX ix_deliveries_given_up_at ON deliveries (given_up_at) WHERE given_up_at IS NOT NULL;

CREATE INDEX ix_deliveries_case_id ON deliveries (case_id);

CREATE INDEX ix_deliveries_notice_id ON deliveries (notice_id);

CREATE TABLE push_subscriptions (
	endpoint_sha256 VARCHAR(64) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	subscription TEXT NOT NULL, 
	added_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_push_subscriptions PRIMARY KEY (endpoint_sha256)
);

CREATE INDEX ix_approvals_reviewer_decided_at ON approvals (reviewer, decided_at);

CREATE INDEX ix_approvals_decided_at ON approvals (decided_at);

CREATE INDEX ix_decisions_reviewer_decided_at ON decisions (reviewer, decided_at);

CREATE INDEX ix_decisions_decided_at ON decisions (decided_at);

CREATE TABLE openings (
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	opened_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_openings PRIMARY KEY (case_id, round_number, person), 
	CONSTRAINT fk_openings_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TABLE second_looks (
	case_id VARCHAR(20) NOT NULL, 
	round_number INTEGER NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	said VARCHAR(20) NOT NULL, 
	idempotency_key VARCHAR(200), 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_second_looks PRIMARY KEY (case_id, round_number, person, kind), 
	CONSTRAINT fk_second_looks_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TABLE seeded_cases (
	case_id VARCHAR(20) NOT NULL, 
	why TEXT NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_seeded_cases PRIMARY KEY (case_id), 
	CONSTRAINT fk_seeded_cases_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE TRIGGER assertions_no_update BEFORE UPDATE ON assertions BEGIN SELECT RAISE(ABORT, 'the table assertions is append-only'); END;

CREATE TRIGGER assertions_no_delete BEFORE DELETE ON assertions BEGIN SELECT RAISE(ABORT, 'the table assertions is append-only'); END;

CREATE TRIGGER edits_no_update BEFORE UPDATE ON edits BEGIN SELECT RAISE(ABORT, 'the table edits is append-only'); END;

CREATE TRIGGER edits_no_delete BEFORE DELETE ON edits BEGIN SELECT RAISE(ABORT, 'the table edits is append-only'); END;

CREATE TRIGGER escalations_no_update BEFORE UPDATE ON escalations BEGIN SELECT RAISE(ABORT, 'the table escalations is append-only'); END;

CREATE TRIGGER escalations_no_delete BEFORE DELETE ON escalations BEGIN SELECT RAISE(ABORT, 'the table escalations is append-only'); END;

CREATE TRIGGER plan_uses_no_update BEFORE UPDATE ON plan_uses BEGIN SELECT RAISE(ABORT, 'the table plan_uses is append-only'); END;

CREATE TRIGGER plan_uses_no_delete BEFORE DELETE ON plan_uses BEGIN SELECT RAISE(ABORT, 'the table plan_uses is append-only'); END;

CREATE TABLE processes (
	process_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	version VARCHAR(20) NOT NULL, 
	policy_sha256 VARCHAR(64), 
	started_at VARCHAR(27) NOT NULL, 
	seen_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	CONSTRAINT pk_processes PRIMARY KEY (process_id)
);

CREATE TABLE policies (
	policy_version INTEGER NOT NULL, 
	policy_sha256 VARCHAR(64) NOT NULL, 
	policy TEXT NOT NULL, 
	put_by VARCHAR(200) NOT NULL, 
	put_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_policies PRIMARY KEY (policy_version)
);

CREATE TABLE secrets (
	name VARCHAR(60) NOT NULL, 
	secret TEXT NOT NULL, 
	made_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_secrets PRIMARY KEY (name)
);

CREATE TABLE ledger_checks (
	check_id INTEGER NOT NULL, 
	began_at VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27) NOT NULL, 
	entries INTEGER NOT NULL, 
	entry_hash VARCHAR(64) NOT NULL, 
	problem TEXT, 
	CONSTRAINT pk_ledger_checks PRIMARY KEY (check_id)
);

CREATE TABLE case_spans (
	case_id VARCHAR(20) NOT NULL, 
	traceparent VARCHAR(55) NOT NULL, 
	CONSTRAINT pk_case_spans PRIMARY KEY (case_id), 
	CONSTRAINT fk_case_spans_case_id_cases FOREIGN KEY(case_id) REFERENCES cases (case_id)
);

CREATE INDEX ix_cases_waiting ON cases (opened_at, case_id, expires_at, frozen_at, principal, tool_name, round_number, arguments_sha256, status, shown_score) WHERE status = 'PENDING_REVIEW';

CREATE INDEX ix_cases_waiting_tools ON cases (tool_name) WHERE status = 'PENDING_REVIEW';

CREATE TRIGGER policies_no_update BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'the table policies is append-only'); END;

CREATE TRIGGER policies_no_delete BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'the table policies is append-only'); END;

CREATE INDEX ix_cases_seeded ON cases (expires_at) WHERE claimed_by = 'seeded' AND status = 'PENDING_REVIEW';

CREATE INDEX ix_cases_without_yes ON cases (principal, tool_name, arguments_sha256, opened_at) WHERE (status IN ('REJECTED', 'EXPIRED') OR (status = 'WITHDRAWN' AND expires_at IS NOT NULL));

INSERT INTO alembic_version VALUES ('0016', '0014');

COMMIT;
