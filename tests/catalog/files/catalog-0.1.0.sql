BEGIN TRANSACTION;
CREATE TABLE image_locations (
	number INTEGER NOT NULL,
	image_id VARCHAR(64) NOT NULL,
	store VARCHAR(255) NOT NULL,
	url TEXT NOT NULL,
	metadata JSON NOT NULL,
	status VARCHAR(16) NOT NULL,
	task_id VARCHAR(64),
	remover TEXT,
	removal_expires_at DATETIME,
	PRIMARY KEY (number),
	UNIQUE (image_id, store, url)
);
INSERT INTO "image_locations" VALUES(1,'72a77c1c-d3f9-42aa-ba02-168cc095b785','archive','file://@FOLDER@/stores/archive/72a77c1c-d3f9-42aa-ba02-168cc095b785','{"mark": "1795966224185570000", "definition": "{\"folder\": \"@FOLDER@\", \"use\": \"file\", \"with\": {\"directory\": \"@FOLDER@/stores/archive\", \"mode\": \"0640\"}}"}','active','f6c2e553-75e7-4b92-aca3-bf442562ab59',NULL,NULL);
INSERT INTO "image_locations" VALUES(2,'72a77c1c-d3f9-42aa-ba02-168cc095b785','fast','file://@FOLDER@/stores/fast/72a77c1c-d3f9-42aa-ba02-168cc095b785','{"mark": "1795966224185426000", "definition": "{\"folder\": \"@FOLDER@\", \"use\": \"file\", \"with\": {\"directory\": \"@FOLDER@/stores/fast\", \"mode\": \"0640\"}}"}','active','f6c2e553-75e7-4b92-aca3-bf442562ab59',NULL,NULL);
INSERT INTO "image_locations" VALUES(3,'61d0a906-8620-40a3-98b4-53fa9af3a305','fast','file://@FOLDER@/stores/fast/61d0a906-8620-40a3-98b4-53fa9af3a305','{"mark": "1795966225761907000", "definition": "{\"folder\": \"@FOLDER@\", \"use\": \"file\", \"with\": {\"directory\": \"@FOLDER@/stores/fast\", \"mode\": \"0640\"}}"}','active','9346159a-6d94-4e5e-88d0-1e50cf969ee2',NULL,NULL);
INSERT INTO "image_locations" VALUES(4,'f582d642-9ce6-46a4-8445-53fe276cadc4','fast','file://@FOLDER@/stores/fast/f582d642-9ce6-46a4-8445-53fe276cadc4','{"mark": "1795966239012285000", "definition": "{\"folder\": \"@FOLDER@\", \"use\": \"file\", \"with\": {\"directory\": \"@FOLDER@/stores/fast\", \"mode\": \"0640\"}}"}','pending','0ddbf1d5-c65e-4b9c-aa8d-517211d5f329',NULL,NULL);
INSERT INTO "image_locations" VALUES(5,'f582d642-9ce6-46a4-8445-53fe276cadc4','archive','file://@FOLDER@/stores/archive/f582d642-9ce6-46a4-8445-53fe276cadc4','{"mark": "1795966239012664000", "definition": "{\"folder\": \"@FOLDER@\", \"use\": \"file\", \"with\": {\"directory\": \"@FOLDER@/stores/archive\", \"mode\": \"0640\"}}"}','pending','0ddbf1d5-c65e-4b9c-aa8d-517211d5f329',NULL,NULL);
CREATE TABLE image_properties (
	image_id VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (image_id, name),
	FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE
);
INSERT INTO "image_properties" VALUES('72a77c1c-d3f9-42aa-ba02-168cc095b785','os_distro','debian');
INSERT INTO "image_properties" VALUES('72a77c1c-d3f9-42aa-ba02-168cc095b785','os_version','12');
INSERT INTO "image_properties" VALUES('72a77c1c-d3f9-42aa-ba02-168cc095b785','os_glance_failed_import','');
INSERT INTO "image_properties" VALUES('72a77c1c-d3f9-42aa-ba02-168cc095b785','os_glance_importing_to_stores','');
INSERT INTO "image_properties" VALUES('61d0a906-8620-40a3-98b4-53fa9af3a305','os_glance_failed_import','');
INSERT INTO "image_properties" VALUES('61d0a906-8620-40a3-98b4-53fa9af3a305','os_glance_importing_to_stores','');
INSERT INTO "image_properties" VALUES('3d838f5a-da67-45d1-aeb4-809a7c49a5f0','hw_disk_bus','scsi');
INSERT INTO "image_properties" VALUES('f9b899d2-888b-4292-965f-208d1c0e6aee','os_glance_stage_host','@HOST@');
INSERT INTO "image_properties" VALUES('d4732d3e-bd1a-4a1b-ac0b-2338ecdb33c8','os_glance_importing_to_stores','');
INSERT INTO "image_properties" VALUES('d4732d3e-bd1a-4a1b-ac0b-2338ecdb33c8','os_glance_failed_import','archive,fast');
INSERT INTO "image_properties" VALUES('f582d642-9ce6-46a4-8445-53fe276cadc4','os_glance_import_task','0ddbf1d5-c65e-4b9c-aa8d-517211d5f329');
INSERT INTO "image_properties" VALUES('f582d642-9ce6-46a4-8445-53fe276cadc4','os_glance_importing_to_stores','archive,fast');
INSERT INTO "image_properties" VALUES('f582d642-9ce6-46a4-8445-53fe276cadc4','os_glance_failed_import','');
CREATE TABLE images (
	id VARCHAR(64) NOT NULL,
	name TEXT,
	status VARCHAR(16) NOT NULL,
	disk_format TEXT,
	container_format TEXT,
	size BIGINT,
	virtual_size BIGINT,
	checksum TEXT,
	os_hash_algo TEXT,
	os_hash_value TEXT,
	owner TEXT,
	visibility TEXT NOT NULL,
	protected BOOLEAN NOT NULL,
	min_disk BIGINT NOT NULL,
	min_ram BIGINT NOT NULL,
	tags JSON NOT NULL,
	fence BIGINT NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "images" VALUES('72a77c1c-d3f9-42aa-ba02-168cc095b785','debian-12','active','raw','bare',65536,65536,'0d27b1e0762a6493a525b06dffa1f4fd','sha512','66f0cfedd081629a385435aa99a2a8c842d9cfd47a1a3f1aff396fb36365d6fb79c2c56b6c5c1cb83ce90374b879e7c5a40a01738e435032b3f1ff68857ae420','alice','community',1,2,0,'["lts", "cloud"]',1,'2024-11-29 15:30:24.161825','2024-11-29 15:30:24.906350');
INSERT INTO "images" VALUES('61d0a906-8620-40a3-98b4-53fa9af3a305','cirros','active','raw','bare',32768,32768,'b3c4a4846c4610112994c9a1be0d5d2c','sha512','4312444b119cbbcc2b88f2c6c17d5fc138739e088c9e3aea5a04b67a05cd871d3008fccb33595ccca3c5a6731bbd3da5403cc92b40659d59ec76cdf83c231edb','acme','shared',0,0,0,'[]',1,'2024-11-29 15:30:25.723393','2024-11-29 15:30:25.865515');
INSERT INTO "images" VALUES('3d838f5a-da67-45d1-aeb4-809a7c49a5f0','planned','queued','qcow2','bare',NULL,NULL,NULL,NULL,NULL,'alice','shared',0,0,0,'[]',0,'2024-11-29 15:30:26.492153','2024-11-29 15:30:26.492153');
INSERT INTO "images" VALUES('f9b899d2-888b-4292-965f-208d1c0e6aee','staged','uploading','raw','bare',65536,NULL,NULL,NULL,NULL,'alice','shared',0,0,0,'[]',0,'2024-11-29 15:30:27.035457','2024-11-29 15:30:27.525971');
INSERT INTO "images" VALUES('d4732d3e-bd1a-4a1b-ac0b-2338ecdb33c8','lost','queued',NULL,'bare',NULL,NULL,NULL,NULL,NULL,'alice','shared',0,0,0,'[]',1,'2024-11-29 15:30:28.089145','2024-11-29 15:30:28.101813');
INSERT INTO "images" VALUES('f582d642-9ce6-46a4-8445-53fe276cadc4','killed','importing','raw','bare',NULL,NULL,NULL,NULL,NULL,'alice','shared',0,0,0,'[]',1,'2024-11-29 15:30:38.999472','2024-11-29 15:30:39.005378');
CREATE TABLE tasks (
	id VARCHAR(64) NOT NULL,
	image_id VARCHAR(64) NOT NULL,
	type VARCHAR(16) NOT NULL,
	status VARCHAR(16) NOT NULL,
	message TEXT NOT NULL,
	cause JSON,
	owner TEXT NOT NULL,
	input JSON NOT NULL,
	result JSON,
	progress JSON NOT NULL,
	holder TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	fence BIGINT NOT NULL,
	cancel_requested BOOLEAN NOT NULL,
	snapshot JSON NOT NULL,
	touched JSON NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	expires_at DATETIME,
	lease_expires_at DATETIME NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "tasks" VALUES('f6c2e553-75e7-4b92-aca3-bf442562ab59','72a77c1c-d3f9-42aa-ba02-168cc095b785','import','success','',NULL,'alice','{"pipeline": "import", "source": "debian.raw", "method": "glance-direct"}','{"image_id": "72a77c1c-d3f9-42aa-ba02-168cc095b785", "source_digests": {"md5": "0d27b1e0762a6493a525b06dffa1f4fd", "sha512": "66f0cfedd081629a385435aa99a2a8c842d9cfd47a1a3f1aff396fb36365d6fb79c2c56b6c5c1cb83ce90374b879e7c5a40a01738e435032b3f1ff68857ae420"}, "stored_digests": {"md5": "0d27b1e0762a6493a525b06dffa1f4fd", "sha512": "66f0cfedd081629a385435aa99a2a8c842d9cfd47a1a3f1aff396fb36365d6fb79c2c56b6c5c1cb83ce90374b879e7c5a40a01738e435032b3f1ff68857ae420"}}','{}','@HOST@:25949:91920-00000000000000000000000000000000.1',1,1,0,'{"fields": {"tags": [], "container_format": "bare", "visibility": "shared", "min_ram": 0, "virtual_size": null, "min_disk": 0, "owner": "alice", "name": "debian-12", "os_hash_value": null, "disk_format": null, "protected": false, "size": null, "status": "queued", "os_hash_algo": null, "checksum": null}, "properties": {"os_distro": "debian", "os_version": "12"}}','{"fields": ["checksum", "disk_format", "os_hash_algo", "os_hash_value", "size", "status", "virtual_size"], "properties": []}','2024-11-29 15:30:24.173849','2024-11-29 15:30:24.317524','2024-12-01 15:30:24.317524','2024-11-29 15:31:24.305179');
INSERT INTO "tasks" VALUES('9346159a-6d94-4e5e-88d0-1e50cf969ee2','61d0a906-8620-40a3-98b4-53fa9af3a305','import','success','',NULL,'acme','{"pipeline": "import", "source": "cirros.raw", "method": "glance-direct"}','{"image_id": "61d0a906-8620-40a3-98b4-53fa9af3a305", "source_digests": {"md5": "b3c4a4846c4610112994c9a1be0d5d2c", "sha512": "4312444b119cbbcc2b88f2c6c17d5fc138739e088c9e3aea5a04b67a05cd871d3008fccb33595ccca3c5a6731bbd3da5403cc92b40659d59ec76cdf83c231edb"}, "stored_digests": {"md5": "b3c4a4846c4610112994c9a1be0d5d2c", "sha512": "4312444b119cbbcc2b88f2c6c17d5fc138739e088c9e3aea5a04b67a05cd871d3008fccb33595ccca3c5a6731bbd3da5403cc92b40659d59ec76cdf83c231edb"}}','{}','@HOST@:25971:92116-00000000000000000000000000000000.1',1,1,0,'{"fields": {"min_ram": 0, "checksum": null, "os_hash_value": null, "disk_format": null, "size": null, "protected": false, "container_format": "bare", "tags": [], "min_disk": 0, "owner": "acme", "visibility": "shared", "virtual_size": null, "os_hash_algo": null, "name": "cirros", "status": "queued"}, "properties": {}}','{"fields": ["checksum", "disk_format", "os_hash_algo", "os_hash_value", "size", "status", "virtual_size"], "properties": []}','2024-11-29 15:30:25.742317','2024-11-29 15:30:25.865515','2024-12-01 15:30:25.865515','2024-11-29 15:31:25.845684');
INSERT INTO "tasks" VALUES('83704562-b212-487c-8ba5-f8f54f5084ea','d4732d3e-bd1a-4a1b-ac0b-2338ecdb33c8','import','failure','step ''glance-direct'' (imageport 0.1.0): cannot read missing.raw: No such file or directory','{"code": "source-unavailable", "step": "glance-direct", "store": null, "hint": "check the spelling; the path was looked up from @FOLDER@"}','alice','{"pipeline": "import", "source": "missing.raw", "method": "glance-direct"}','{}','{}','@HOST@:26017:92364-00000000000000000000000000000000.1',1,1,0,'{"fields": {"os_hash_value": null, "min_ram": 0, "min_disk": 0, "owner": "alice", "name": "lost", "os_hash_algo": null, "disk_format": null, "container_format": "bare", "virtual_size": null, "tags": [], "checksum": null, "protected": false, "status": "queued", "visibility": "shared", "size": null}, "properties": {}}','{"fields": [], "properties": []}','2024-11-29 15:30:28.094374','2024-11-29 15:30:28.101813','2024-12-01 15:30:28.101813','2024-11-29 15:31:28.094374');
INSERT INTO "tasks" VALUES('0ddbf1d5-c65e-4b9c-aa8d-517211d5f329','f582d642-9ce6-46a4-8445-53fe276cadc4','import','processing','',NULL,'alice','{"pipeline": "import", "source": "-", "method": "glance-direct"}',NULL,'{}','@HOST@:26337:93463-00000000000000000000000000000000.1',1,1,0,'{"fields": {"owner": "alice", "checksum": null, "container_format": "bare", "disk_format": "raw", "virtual_size": null, "tags": [], "min_ram": 0, "min_disk": 0, "status": "queued", "os_hash_value": null, "size": null, "os_hash_algo": null, "name": "killed", "visibility": "shared", "protected": false}, "properties": {}}','{"fields": [], "properties": []}','2024-11-29 15:30:39.005378','2024-11-29 15:30:39.009826',NULL,'2024-11-29 15:31:39.005378');
CREATE INDEX ix_images_name ON images (name);
CREATE INDEX ix_image_locations_task_id ON image_locations (task_id);
CREATE INDEX ix_tasks_image_id ON tasks (image_id);
COMMIT;
