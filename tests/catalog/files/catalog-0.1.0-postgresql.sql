CREATE TABLE public.image_locations (
    number integer NOT NULL,
    image_id character varying(64) NOT NULL,
    store character varying(255) NOT NULL,
    url text NOT NULL,
    metadata json NOT NULL,
    status character varying(16) NOT NULL,
    task_id character varying(64),
    remover text,
    removal_expires_at timestamp with time zone
);
CREATE SEQUENCE public.image_locations_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.image_locations_number_seq OWNED BY public.image_locations.number;
CREATE TABLE public.image_properties (
    image_id character varying(64) NOT NULL,
    name character varying(255) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.images (
    id character varying(64) NOT NULL,
    name text,
    status character varying(16) NOT NULL,
    disk_format text,
    container_format text,
    size bigint,
    virtual_size bigint,
    checksum text,
    os_hash_algo text,
    os_hash_value text,
    owner text,
    visibility text NOT NULL,
    protected boolean NOT NULL,
    min_disk bigint NOT NULL,
    min_ram bigint NOT NULL,
    tags json NOT NULL,
    fence bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.tasks (
    id character varying(64) NOT NULL,
    image_id character varying(64) NOT NULL,
    type character varying(16) NOT NULL,
    status character varying(16) NOT NULL,
    message text NOT NULL,
    cause json,
    owner text NOT NULL,
    input json NOT NULL,
    result json,
    progress json NOT NULL,
    holder text NOT NULL,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    cancel_requested boolean NOT NULL,
    snapshot json NOT NULL,
    touched json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    lease_expires_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.image_locations ALTER COLUMN number SET DEFAULT nextval('public.image_locations_number_seq'::regclass);
ALTER TABLE ONLY public.image_locations
    ADD CONSTRAINT image_locations_image_id_store_url_key UNIQUE (image_id, store, url);
ALTER TABLE ONLY public.image_locations
    ADD CONSTRAINT image_locations_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.image_properties
    ADD CONSTRAINT image_properties_pkey PRIMARY KEY (image_id, name);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);
CREATE INDEX ix_image_locations_task_id ON public.image_locations USING btree (task_id);
CREATE INDEX ix_images_name ON public.images USING btree (name);
CREATE INDEX ix_tasks_image_id ON public.tasks USING btree (image_id);
ALTER TABLE ONLY public.image_properties
    ADD CONSTRAINT image_properties_image_id_fkey FOREIGN KEY (image_id) REFERENCES public.images(id) ON DELETE CASCADE;
