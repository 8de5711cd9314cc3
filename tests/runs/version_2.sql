BEGIN TRANSACTION;
CREATE TABLE epochs (
	run_id VARCHAR(40) NOT NULL, 
	epoch INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	phase TEXT NOT NULL, 
	train_loss FLOAT, 
	train_accuracy FLOAT, 
	val_loss FLOAT, 
	val_accuracy FLOAT, 
	learning_rate FLOAT, 
	seconds FLOAT, 
	images_per_second FLOAT, 
	is_best BOOLEAN NOT NULL, 
	PRIMARY KEY (run_id, epoch), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "epochs" VALUES('r-20261128-231852-2a23',1,5,'all',1.0,0.5,2.0,0.5,0.001,5.10000000000000036637e-02,3200.0,1);
INSERT INTO "epochs" VALUES('r-20261128-231852-2a23',2,10,'all',0.5,0.5,1.0,0.75,0.001,0.101,3200.0,1);
INSERT INTO "epochs" VALUES('r-20261128-231852-86c8',1,5,'all',1.0,0.5,2.0,0.5,0.001,5.10000000000000036637e-02,3200.0,1);
CREATE TABLE log (
	seq INTEGER NOT NULL, 
	run_id VARCHAR(40) NOT NULL, 
	at FLOAT NOT NULL, 
	level VARCHAR(10) NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "log" VALUES(1,'r-20261128-231852-2a23',1.79590793202947854997e+09,'info','completed after 10 steps');
INSERT INTO "log" VALUES(2,'r-20261128-231852-2a23',1.79590793204524254802e+09,'info','It''s done');
INSERT INTO "log" VALUES(3,'r-20261128-231852-86c8',1.79590793204679703707e+09,'info','stopped after 7 steps');
CREATE TABLE runs (
	id VARCHAR(40) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	origin TEXT DEFAULT '' NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	config TEXT NOT NULL, 
	dataset TEXT NOT NULL, 
	architecture TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	ended_at FLOAT, 
	queue_position INTEGER, 
	owner VARCHAR(40) NOT NULL, 
	requested VARCHAR(10), 
	message TEXT NOT NULL, 
	device VARCHAR(20) NOT NULL, 
	progress_text TEXT NOT NULL, 
	progress FLOAT NOT NULL, 
	revision INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	steps_per_epoch INTEGER, 
	total_steps INTEGER, 
	total_parameters INTEGER, 
	trainable_parameters INTEGER, 
	train_samples INTEGER, 
	val_samples INTEGER, 
	test_samples INTEGER, 
	class_names TEXT NOT NULL, 
	best_epoch INTEGER, 
	best_val_loss FLOAT, 
	best_val_accuracy FLOAT, 
	test_loss FLOAT, 
	test_accuracy FLOAT, 
	seconds FLOAT NOT NULL, 
	images_per_second FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('r-20261128-231852-2a23','손 글씨 from version 2','recipe:x:quick','completed','{"dataset":"drawn-cats-dogs","image_size":null,"subset_per_class":0,"validation_fraction":0.1,"reduced_class":"","reduced_class_keep":1.0,"class_balancing":"none","normalisation":"auto","horizontal_flip":false,"rotation_degrees":0.0,"zoom":0.0,"width_shift":0.0,"height_shift":0.0,"shear_degrees":0.0,"brightness":0.0,"contrast":0.0,"architecture":"simple-cnn","activation":"auto","hidden_sizes":[50],"depth":10,"head":"linear","head_units":256,"dropout":null,"freeze":"scratch","last_k":1,"head_epochs":2,"second_phase_factor":0.1,"frozen_features":"auto","kept_views":0,"epochs":2,"batch_size":32,"learning_rate":0.001,"optimizer":"adam","momentum":0.9,"nesterov":false,"weight_decay":0.0,"schedule":"constant","schedule_epochs":5,"schedule_factor":0.1,"gradient_clip":0.0,"steps_per_epoch":0,"best_metric":"val_loss","early_stopping_patience":0,"early_stopping_metric":"val_loss","keep_every":0,"seed":0,"device":"cpu","precision":"auto","memory_layout":"auto","reuse_memory":true,"compile_steps":"auto","film_strip":true,"layer_statistics":"auto"}','drawn-cats-dogs','simple-cnn',1.79590793202138710024e+09,1.79590793202138710024e+09,1.7959079320354409218e+09,NULL,'',NULL,'completed after 10 steps','cpu','',1.0,0,2,10,5,10,1000,900,160,20,10,'["Katze", "개"]',2,0.5,0.75,0.6,0.7,0.1,3200.0);
INSERT INTO "runs" VALUES('r-20261128-231852-86c8','stopped half-way','','stopped','{"dataset":"drawn-cats-dogs","image_size":null,"subset_per_class":0,"validation_fraction":0.1,"reduced_class":"","reduced_class_keep":1.0,"class_balancing":"none","normalisation":"auto","horizontal_flip":false,"rotation_degrees":0.0,"zoom":0.0,"width_shift":0.0,"height_shift":0.0,"shear_degrees":0.0,"brightness":0.0,"contrast":0.0,"architecture":"simple-cnn","activation":"auto","hidden_sizes":[50],"depth":10,"head":"linear","head_units":256,"dropout":null,"freeze":"scratch","last_k":1,"head_epochs":2,"second_phase_factor":0.1,"frozen_features":"auto","kept_views":0,"epochs":2,"batch_size":32,"learning_rate":0.001,"optimizer":"adam","momentum":0.9,"nesterov":false,"weight_decay":0.0,"schedule":"constant","schedule_epochs":5,"schedule_factor":0.1,"gradient_clip":0.0,"steps_per_epoch":0,"best_metric":"val_loss","early_stopping_patience":0,"early_stopping_metric":"val_loss","keep_every":0,"seed":7,"device":"cpu","precision":"auto","memory_layout":"auto","reuse_memory":true,"compile_steps":"auto","film_strip":true,"layer_statistics":"auto"}','drawn-cats-dogs','simple-cnn',1.79590793204566311841e+09,1.79590793204566311841e+09,1.79590793204850625993e+09,NULL,'',NULL,'stopped after 7 steps','cpu','',0.7,0,2,7,5,10,1000,900,160,20,10,'["Katze", "개"]',1,0.5,0.75,NULL,NULL,0.07,3200.0);
INSERT INTO "runs" VALUES('r-20261128-231852-cbfe','waiting','','queued','{"dataset":"drawn-cats-dogs","image_size":null,"subset_per_class":0,"validation_fraction":0.1,"reduced_class":"","reduced_class_keep":1.0,"class_balancing":"none","normalisation":"auto","horizontal_flip":false,"rotation_degrees":0.0,"zoom":0.0,"width_shift":0.0,"height_shift":0.0,"shear_degrees":0.0,"brightness":0.0,"contrast":0.0,"architecture":"simple-cnn","activation":"auto","hidden_sizes":[50],"depth":10,"head":"linear","head_units":256,"dropout":null,"freeze":"scratch","last_k":1,"head_epochs":2,"second_phase_factor":0.1,"frozen_features":"auto","kept_views":0,"epochs":2,"batch_size":32,"learning_rate":0.001,"optimizer":"adam","momentum":0.9,"nesterov":false,"weight_decay":0.0,"schedule":"constant","schedule_epochs":5,"schedule_factor":0.1,"gradient_clip":0.0,"steps_per_epoch":0,"best_metric":"val_loss","early_stopping_patience":0,"early_stopping_metric":"val_loss","keep_every":0,"seed":0,"device":"cpu","precision":"auto","memory_layout":"auto","reuse_memory":true,"compile_steps":"auto","film_strip":true,"layer_statistics":"auto"}','drawn-cats-dogs','simple-cnn',1.79590793205259180074e+09,NULL,NULL,1,'',NULL,'','cpu','',0.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL,NULL,NULL,0.0,NULL);
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(2);
CREATE TABLE steps (
	run_id VARCHAR(40) NOT NULL, 
	step INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	loss FLOAT, 
	accuracy FLOAT, 
	loss_smoothed FLOAT, 
	accuracy_smoothed FLOAT, 
	learning_rate FLOAT, 
	seconds FLOAT, 
	samples INTEGER, 
	PRIMARY KEY (run_id, step), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',1,1,1.0,0.0,1.0,0.0,0.001,0.01,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',2,1,0.5,0.5,7.45668263695271393842e-01,2.54331736304728606157e-01,0.001,0.02,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',3,1,3.33333333333333314829e-01,6.66666666666666740681e-01,6.03433253668923530455e-01,3.96566746331076414033e-01,0.001,0.03,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',4,1,0.25,0.75,5.10429881799949081155e-01,4.89570118200050696799e-01,0.001,0.04,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',5,1,0.2,0.8,4.43967637078090782143e-01,5.560323629219089403e-01,0.001,0.05,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',6,2,1.66666666666666657414e-01,8.3333333333333337034e-01,3.93656001341643968505e-01,0.606343998658356,0.001,0.06,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',7,2,1.42857142857142849212e-01,8.57142857142857206298e-01,3.53997230851499200543e-01,6.46002769148500632923e-01,0.001,0.07,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',8,2,0.125,0.875,0.321782681232741,6.78217318767258769973e-01,0.001,0.08,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',9,2,1.11111111111111104943e-01,8.88888888888888839545e-01,2.95001358117389311797e-01,7.04998641882610632691e-01,0.001,0.09,32);
INSERT INTO "steps" VALUES('r-20261128-231852-2a23',10,2,0.1,0.9,2.72322573852500526836e-01,7.27677426147499417652e-01,0.001,0.1,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',1,1,1.0,0.0,1.0,0.0,0.001,0.01,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',2,1,0.5,0.5,7.45668263695271393842e-01,2.54331736304728606157e-01,0.001,0.02,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',3,1,3.33333333333333314829e-01,6.66666666666666740681e-01,6.03433253668923530455e-01,3.96566746331076414033e-01,0.001,0.03,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',4,1,0.25,0.75,5.10429881799949081155e-01,4.89570118200050696799e-01,0.001,0.04,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',5,1,0.2,0.8,4.43967637078090782143e-01,5.560323629219089403e-01,0.001,0.05,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',6,2,1.66666666666666657414e-01,8.3333333333333337034e-01,3.93656001341643968505e-01,0.606343998658356,0.001,0.06,32);
INSERT INTO "steps" VALUES('r-20261128-231852-86c8',7,2,1.42857142857142849212e-01,8.57142857142857206298e-01,3.53997230851499200543e-01,6.46002769148500632923e-01,0.001,0.07,32);
CREATE TABLE sweeps (
	id VARCHAR(40) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	config TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	message TEXT NOT NULL, 
	notes TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX runs_by_status ON runs (status, queue_position);
CREATE INDEX log_by_run ON log (run_id, seq);
COMMIT;
